"""Determined's experiment configuration as a table of keys, types and ranges."""
