"""The one exception that is meant for the person who wrote the YAML."""


class UserError(ValueError):
    """Something in a configuration or data file is wrong and its author can put it right.

    The message names the YAML key or the file, says what was found and what to write instead. The
    ``model-hub`` command prints it without a traceback.
    """
