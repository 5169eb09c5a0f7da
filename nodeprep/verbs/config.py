"""`nodeprep config`: is the configuration usable; what is in force, and which file or credential says so."""

from __future__ import annotations

import json
import os
from dataclasses import fields, is_dataclass
from typing import Any

from nodeprep import config
from nodeprep.config import Config
from nodeprep.errors import NodeprepError
from nodeprep.host.local import LocalMachine
from nodeprep.openings import needed
from nodeprep.verbs import Typed


def main(typed: Typed) -> int:
    """Check or show. Raises ConfigError, which names file, key and remedy."""
    root = typed.value("--root")
    if root and not os.path.isdir(root):
        raise NodeprepError(f"{root}: no such folder")
    machine = LocalMachine("config", os.path.abspath(root) if root else "")
    settings = config.load(machine)
    chosen = needed(machine, settings).roles(machine)
    keys = dict(settings.origins)
    rows = [{"key": key, "value": value, "origin": keys.get(key, "")} for key, value in rows_of(settings)]
    if typed.operands == ["check"]:
        names = ", ".join(role.name for role in chosen)
        told = f"good: {len(keys)} keys are set, the others are at their defaults; roles: {names}"
        print(json.dumps({"schema": 1, "state": "good", "keys": rows}) if typed.as_json else told)
        return 0
    if typed.as_json:
        print(json.dumps({"schema": 1, "state": "good", "keys": rows}, indent=2))
        return 0
    left = [f"{row['key']} = {json.dumps(row['value'])}" for row in rows]
    width = min(max(map(len, left)), 60)
    for text, row in zip(left, rows, strict=True):
        print(f"{text:<{width}}  # {row['origin'] or 'default'}".rstrip())
    return 0


def rows_of(settings: Config) -> list[tuple[str, Any]]:
    """Return every key and its value, as TOML would have it."""
    return [
        (f"{section.name}.{key.name}", _plain(getattr(getattr(settings, section.name), key.name)))
        for section in fields(settings)
        if is_dataclass(getattr(settings, section.name))
        for key in fields(getattr(settings, section.name))
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value if isinstance(value, str | int) else str(value)
