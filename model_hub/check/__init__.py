"""``model-hub check``: finds mistakes in an experiment's YAML before anything is submitted.

It stands outside of ``model_hub.huggingface``, whose import takes seconds: a YAML that is broken is
told at once. Only ``check.trial``, ``sections`` and ``data_files`` import from there.
"""
