"""The host's credential secret: what systemd encrypts service credentials with (systemd-creds(1))."""

from __future__ import annotations

import re

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Kind, Reading, Stage
from nodeprep.reading import digests, removals, set_aside
from nodeprep.steps import Action

PATH = "/var/lib/systemd/credential.secret"
STORES = (
    "/etc/credstore.encrypted/*",
    "/usr/lib/credstore.encrypted/*",
    "/boot/loader/credentials/*.cred",
    "/boot/efi/loader/credentials/*.cred",
    "/efi/loader/credentials/*.cred",
)
UNITS = tuple(
    f"{folder}/systemd/system/{names}"
    for folder in ("/etc", "/usr/local/lib", "/usr/lib")
    for names in ("*.service", "*.d/*.conf")
)
ENCRYPTED = re.compile(r"^\s*(Load|Set)CredentialEncrypted\s*=\s*\S", re.MULTILINE)


def observe(machine: MachineView) -> Reading:
    """Return path and digest of the secret."""
    return digests(machine, (PATH,))


def used(machine: MachineView) -> str:
    """Say what is, or may be, encrypted with it: nobody could read that any more."""
    if not machine.exists(PATH):
        return ""
    if stored := next((path for store in STORES for path in machine.glob(store)), None):
        return f"{stored} may be encrypted with it"
    units = (path for pattern in UNITS for path in machine.glob(pattern))
    unit = next((path for path in units if ENCRYPTED.search(machine.read_text(path) or "")), None)
    return f"{unit} loads an encrypted credential" if unit else ""


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Take it out of the image, unless what is encrypted with it would go with it."""
    return () if used(machine) else removals(machine, (PATH,))


ARTEFACT = Artefact(
    name="systemd-credential-secret",
    title="systemd's credential secret",
    reason="Every clone can decrypt the credentials of all the others.",
    kind=Kind.B,
    stage=Stage.EARLY,
    observe=observe,
    plan=set_aside,
    confidential=True,
    used=used,
    remedy=f"systemd-creds decrypt each credential; rm {PATH}; systemd-creds setup; systemd-creds encrypt each again",
    seal=seal,
)
