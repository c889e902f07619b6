"""Optimizer, schedule, loss, callbacks and exact resume of a training."""
