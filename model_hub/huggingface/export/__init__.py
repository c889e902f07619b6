"""A checkpoint turned into a folder for `from_pretrained`."""
