"""Values: what the keys of the configuration may hold that are no lists. Pure."""

from __future__ import annotations

import re
import sys
from typing import Any

from nodeprep.endpoint import DEFAULT_PORT
from nodeprep.errors import ConfigError

CHOICES = {
    "identity.on_hardware_change": ("decide", "renew", "keep"),
    "identity.joined_clone": ("hold", "reset"),
    "address.on_conflict": ("pool", "dhcp", "report"),
    "mac.on_conflict": ("renew", "report"),
    "firewall.mode": ("open", "enforce", "off"),
    "firewall.backend": ("auto", "firewalld", "ufw", "nftables", "iptables"),
}
NUMBERS = {
    "attic.keep": (1, sys.maxsize, "a number of runs, 1 or more", 10),
    "peers.port": (1, 65535, "a UDP port", DEFAULT_PORT),
    "registry.wait_s": (0, 120, "a number of seconds, 120 at most", 30),
}
"""Key → least and greatest value, what it is, and an example. A boot waits in `wait_s` (nodeprep.service, 180 s)."""
_FILE = ("(/.+)?", "write the path of a file, from / on")
TEXTS = {
    "registry.prefix": ("/[A-Za-z0-9._/-]*/", 'begin and end it with /, as in "/nodeprep/"'),
    "registry.ca": _FILE,
    "registry.cert": _FILE,
    "registry.key": _FILE,
    "registry.user": ("[^\\s:]*", "write the name of a user of etcd"),
    "registry.password_file": _FILE,
}
MEMBER = re.compile(r"https?://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?/?")


def single(path: str, key: str, value: Any) -> Any:
    """Return a checked value for a key that is no list."""
    if key in CHOICES:
        if value not in CHOICES[key]:
            raise ConfigError(path, key, f"{value!r} is not a choice", f"take one of {', '.join(CHOICES[key])}")
        return value
    if key in NUMBERS:
        least, most, what, example = NUMBERS[key]
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            name = key.partition(".")[2]
            raise ConfigError(path, key, f"{value!r} is not {what}", f"write it as in {name} = {example}")
        return value
    pattern, remedy = TEXTS[key]
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise ConfigError(path, key, f"{value!r} cannot be used", remedy)
    return value
