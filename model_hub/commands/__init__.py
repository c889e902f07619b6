"""One module for each command of ``model-hub``: arguments and printing."""
