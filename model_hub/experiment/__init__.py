"""Determined's experiment YAML: reading, defaults, schema, ranges, and the trial's import."""
