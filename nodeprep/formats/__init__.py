"""Formats: openings as those who apply them write them down. Text out of openings; nothing is applied here.

Each module has `write`, which returns the text and what it had to leave out. None of them turns a source that nobody
named into one that somebody did: where nobody said, the text says that it is open to anyone.
"""
