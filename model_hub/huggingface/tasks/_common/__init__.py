"""Functions and base classes that several tasks share."""
