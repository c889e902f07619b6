"""Raw data: loading, preparation with a cache, and data loaders."""
