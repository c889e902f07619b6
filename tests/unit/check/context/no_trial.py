class NoTrial:
    pass
