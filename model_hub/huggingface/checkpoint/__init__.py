"""State dicts, metadata and files of checkpoints."""
