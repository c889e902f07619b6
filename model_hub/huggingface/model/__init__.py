"""The model: built, loaded, wrapped, with its adapter and its precision."""
