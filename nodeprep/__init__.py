"""nodeprep: every clone of a golden image gets an identity of its own, and proves it."""

__version__ = "0.1.0"
