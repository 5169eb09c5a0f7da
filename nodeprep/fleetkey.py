"""The fleet key: a file of one key a line, hexadecimal, or a system credential that beats it.

There may be two while one follows the other: the first is spoken, both are accepted. What stands there is never told.
"""

from __future__ import annotations

import re

from nodeprep.config import credential
from nodeprep.errors import ConfigError
from nodeprep.machine import MachineView

PATH = "/etc/nodeprep/fleet.key"
CREDENTIAL = "nodeprep.fleet-key"
KEYS_MAX = 2


def fleet_keys(machine: MachineView) -> tuple[bytes, ...]:
    """Return the fleet keys that are accepted, the spoken one first; () where there is none. Raises ConfigError."""
    passed = credential(machine, CREDENTIAL)
    return parse(passed, f"credential {CREDENTIAL}") if passed else parse(machine.read_text(PATH) or "", PATH)


def parse(text: str, origin: str) -> tuple[bytes, ...]:
    """Return the keys of such a text. Raises ConfigError."""
    words = tuple(dict.fromkeys(text.split()))
    problem = ""
    if not all(re.fullmatch("(?:[0-9a-fA-F]{2}){16,64}", word) for word in words):
        problem = "is not 32 to 128 hex digits"
    elif len(words) > KEYS_MAX:
        problem = f"there are {len(words)} keys, and {KEYS_MAX} at most while one follows the other"
    if problem:
        raise ConfigError(
            origin, "fleet key", problem, "copy that of another node; one key a line, the spoken one first"
        )
    return tuple(bytes.fromhex(word) for word in words)
