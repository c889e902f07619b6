"""``model-hub check``: find mistakes in an experiment's YAML before it is submitted.

The package is apart from ``model_hub.huggingface``, whose import takes seconds: mistakes in the
YAML's syntax are reported without it. Only ``trial``, ``sections``, ``data_files`` and the modules
that they use import it.
"""
