"""The exception for mistakes of the person who wrote the YAML."""


class UserError(ValueError):
    """A mistake in a configuration or data file that its author can correct.

    The message names the YAML key or the file, and says what was found and what to write instead.
    The ``model-hub`` command prints it without a traceback.
    """
