"""Exact resume: a run that was stopped ends with the same weights as one that was not.

``controller`` is the training loop. It calls the trial through ``seeded_trial``, which seeds every
batch, and reads data through ``seeded_loader``, which continues at the row where the run was
stopped. ``callback`` saves and restores what Determined's loop does not.
"""
