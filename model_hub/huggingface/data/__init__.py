"""Data: loading raw rows, preparing them with a cache, and data loaders."""
