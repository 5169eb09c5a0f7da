"""`nodeprep report`: what a bug report needs: versions, status, plan, configuration, history, journal, links, firewall.

Read only. Nothing in it would let another machine pass for this one: confidential values of the catalogue are
fingerprints, and keys are left out (nodeprep.redaction). Addresses, MACs and hostnames stay: without them no conflict
can be understood.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable
from importlib import metadata

from nodeprep import __version__, config, fleetkey, preview
from nodeprep.artefacts import catalogue
from nodeprep.errors import NodeprepError
from nodeprep.host import programs
from nodeprep.host.local import LocalMachine
from nodeprep.peers.message import key_id
from nodeprep.redaction import redact
from nodeprep.stamp import fingerprint
from nodeprep.verbs import Typed, document, history
from nodeprep.verbs.config import rows_of
from nodeprep.verbs.plan import as_text

LIBRARIES = ("pyroute2", "dbus-next", "systemd-python", "structlog")
UNITS = (
    "nodeprep-unchanged.service",
    "nodeprep-early.service",
    "nodeprep.service",
    "nodeprep-packets.socket",
    "nodeprep-packets.service",
    "nodeprep-witness.service",
    "nodeprep-ready.target",
)
PROGRAMS: tuple[tuple[str, ...], ...] = (
    ("uname", "-srvm"),
    ("systemctl", "--version"),
    ("systemd-detect-virt",),
    ("systemctl", "show", "--property=Id,ActiveState,SubState,Result,ConditionResult,NRestarts,DropInPaths", *UNITS),
    ("ip", "-brief", "address"),
    ("ip", "route", "show"),
    ("nft", "--stateless", "list", "tables"),
    ("nft", "--stateless", "list", "table", "inet", "nodeprep"),
    ("journalctl", "--boot", "--no-pager", "--lines=500", "--output=short-monotonic", *(f"--unit={u}" for u in UNITS)),
    ("journalctl", "--list-boots", "--no-pager"),
)
TIMEOUT_S = 20.0


def main(typed: Typed) -> int:
    """Print the report; a part that cannot be had says why instead."""
    machine = asyncio.run(preview.view())
    secrets = secrets_of(machine)
    parts = {name: redact(_attempted(make), secrets) for name, make in _parts(machine).items()}
    if typed.as_json:
        print(json.dumps({"schema": 1, "parts": [{"name": name, "text": text} for name, text in parts.items()]}))
    else:
        print("\n".join(f"== {name}\n{text.rstrip()}\n" for name, text in parts.items()), end="")
    return 0


def secrets_of(machine: LocalMachine) -> dict[str, str]:
    """Return what must not leave this machine, and what stands for it: confidential values, and fleet keys."""
    found: dict[str, str] = {}
    for artefact in sorted(catalogue(), key=lambda artefact: artefact.claim is None):  # who shares a value, comes later
        if artefact.confidential:
            reading = artefact.observe(machine)
            for value in reading if isinstance(reading, frozenset) else ():
                found.setdefault(value, f"[{artefact.name} {fingerprint(artefact.name, value)[:8]}]")
    with contextlib.suppress(NodeprepError):  # a key that cannot be read is in no text either
        found |= {key.hex(): f"[fleet key {key_id(key)}]" for key in fleetkey.fleet_keys(machine)}
    return found


def _parts(machine: LocalMachine) -> dict[str, Callable[[], str]]:
    parts: dict[str, Callable[[], str]] = {
        "nodeprep": lambda: f"{__version__}, Python {sys.version.split()[0]}, {_libraries()}",
        "os-release": lambda: machine.read_text("/etc/os-release") or "none",
        "status": lambda: json.dumps(document.read() or {"state": "not-running", "off": document.disabled()}, indent=1),
        "configuration": lambda: "\n".join(f"{key} = {json.dumps(v)}" for key, v in rows_of(config.load(machine))),
        "plan": lambda: as_text(*preview.foresee(machine)),
        "history": lambda: json.dumps(history.found(), indent=1),
    }
    for argv in PROGRAMS:
        parts[" ".join(argv)] = lambda argv=argv: programs.run(argv, TIMEOUT_S)  # type: ignore[misc]
    return parts


def _attempted(make: Callable[[], str]) -> str:
    try:
        return make()
    except (NodeprepError, OSError) as error:
        return f"could not be had: {error}"


def _libraries() -> str:
    told = []
    for name in LIBRARIES:
        try:
            told.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            told.append(f"{name} missing")
    return ", ".join(told)
