"""Fine-tune Hugging Face transformers on Determined: one YAML file and one short trial class."""

__version__ = "0.38.1"
