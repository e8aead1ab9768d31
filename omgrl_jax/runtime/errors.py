"""Faults that a user can put right."""


class RunError(RuntimeError):
    """The run cannot go on as asked; the message says why and what to do."""
