"""Sections `hyperparameters` and `data` of the YAML: fields, parsing and checks."""
