"""What `model-hub new` writes: a folder with a trial, a YAML, sample data and a small model."""
