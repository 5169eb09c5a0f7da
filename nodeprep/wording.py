"""Wording: an action as the line that a person reads in a plan. Pure."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from typing import Any

from nodeprep.model import Opening
from nodeprep.steps import Action

UNSAID = {"timeout_s"}
"""Fields that tell a person nothing."""


def line(action: Action) -> str:
    """Return an action as its words, what it is about, and the rest by name; nothing that its record calls secret.

    WriteFile("/etc/machine-id", ..., 0o444) is "write file /etc/machine-id, mode 0444".
    """
    assert is_dataclass(action)
    words = re.sub("(?<!^)(?=[A-Z])", " ", type(action).__name__).lower()
    shown = [(f.name, getattr(action, f.name)) for f in fields(action) if f.repr and f.name not in UNSAID]
    told = [
        _value(name, value) if number == 0 else f"{name.replace('_', ' ')} {_value(name, value)}"
        for number, (name, value) in enumerate(shown)
        if value is not None
    ]
    return f"{words} {', '.join(told)}".rstrip()


def _value(name: str, value: Any) -> str:
    if isinstance(value, int) and name == "mode":
        return f"{value:04o}"
    if isinstance(value, Opening):
        return value.title
    if isinstance(value, tuple):
        return " ".join(_value(name, each) for each in value) or "none"
    return str(value) or '""'
