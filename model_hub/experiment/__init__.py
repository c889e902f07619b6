"""Determined's experiment YAML: read, completed with defaults, and the trial that it names."""
