"""WireGuard: private keys, by which peers know this machine (wg(8), nm-settings(5), systemd.netdev(5))."""

from __future__ import annotations

import re
from hashlib import sha256

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Kind, Reading, Stage, Values
from nodeprep.reading import literal, set_aside
from nodeprep.steps import Action, Remove

FILES = (
    "/etc/wireguard/*.conf",
    "/etc/NetworkManager/system-connections/*",
    "/etc/systemd/network/*.netdev",
)
KEY = re.compile(r"^\s*private-?key\s*=\s*(\S{43}=)\s*$", re.IGNORECASE | re.MULTILINE)
KEY_FILE = re.compile(r"^\s*PrivateKeyFile\s*=\s*(/\S+)\s*$", re.MULTILINE)


def observe(machine: MachineView) -> Reading:
    """Return path and digest of each private key."""
    return frozenset(value for pattern in FILES for path in machine.glob(pattern) for value in _keys(machine, path))


def _keys(machine: MachineView, path: str) -> Values:
    text = machine.read_text(path) or ""
    found = {f"{path} {_digest(key)}" for key in KEY.findall(text)}
    for place in KEY_FILE.findall(text):
        if key := (machine.read_text(place) or "").strip():
            found.add(f"{place} {_digest(key)}")
    return frozenset(found)


def _digest(key: str) -> str:
    return sha256(key.encode()).hexdigest()


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Take out of the image the files that have a key in them."""
    found = observe(machine)
    assert isinstance(found, frozenset)
    return tuple(Remove(literal(path)) for path in sorted({value.split(" ", 1)[0] for value in found}))


ARTEFACT = Artefact(
    name="wireguard",
    title="WireGuard's private keys",
    reason="Peers answer the copy that they heard last, and each cuts off the others.",
    kind=Kind.C,
    stage=Stage.EARLY,
    observe=observe,
    plan=set_aside,
    confidential=True,
    # Nothing is held: it may be the only way in.
    holds=(),
    remedy="from a console: put the output of `wg genkey` in its place, and tell the peers that of `wg pubkey`",
    seal=seal,
)
