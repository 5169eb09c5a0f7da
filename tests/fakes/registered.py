"""Machines that share a registry: each a disk of its own, which can be copied, and a boot."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from nodeprep.host.local import LocalMachine
from nodeprep.incumbent import Door, Incumbent
from nodeprep.model import Claim, Values
from nodeprep.registrar import Registrar
from nodeprep.registry import tenure
from nodeprep.registry.claimed import Claimed, Speaker
from nodeprep.registry.tenure import Tenure
from nodeprep.stamp import fingerprint, fingerprints

FLEET_KEY = bytes(range(32))
OTHER_KEY = bytes(range(32, 64))


def identity(name: str) -> dict[Claim, Values]:
    """Return what a machine of that name claims."""
    return {
        Claim.MACHINE_ID: frozenset({secrets.token_hex(16)}),
        Claim.HOSTNAME: frozenset({name}),
        Claim.IPV4: frozenset({f"10.77.0.{sum(name.encode()) % 250 + 1}"}),
    }


class Machine:
    """One machine, off until `boot`."""

    def __init__(self, root: Path, door: Door, claims: dict[Claim, Values]) -> None:
        self.root = root
        self.door = door
        self.claims = claims
        self.news = 0
        self.boot()

    def boot(self, fleet_keys: tuple[bytes, ...] = (FLEET_KEY,), wait_s: float = 0.0) -> None:
        """Power it on; who calls this while it runs has cut its power before."""
        LocalMachine("test", str(self.root)).remove_own("/run/nodeprep/released")
        self.nonce = secrets.token_bytes(16)
        self.restart(fleet_keys, wait_s)

    def restart(self, fleet_keys: tuple[bytes, ...] = (FLEET_KEY,), wait_s: float = 0.0) -> None:
        """Start the daemon anew, in the same boot."""
        files = LocalMachine("test", str(self.root))
        self.incumbent = Incumbent(self.door, "/test/", fleet_keys, files, self.nonce, wait_s)
        self.registrar = Registrar(self.incumbent, files, self._hear, wait_s)

    def _hear(self) -> None:
        self.news += 1

    def copy(self, root: Path) -> Machine:
        """Return another machine with a copy of this one's disk."""
        shutil.copytree(self.root, root)
        return Machine(root, self.door, dict(self.claims))

    @property
    def tenure(self) -> Tenure | None:
        """What lies on its disk."""
        return tenure.read(LocalMachine("test", str(self.root)))

    def speaker(self, *, template: Values = frozenset(), renews: bool = False, insists: bool = False) -> Speaker:
        """Return as whom it speaks; template: machine IDs."""
        (machine_id,) = self.claims[Claim.MACHINE_ID]
        return Speaker(fingerprint("machine-id", machine_id), fingerprints("machine-id", template), renews, insists)

    async def claim(self, *, template: Values = frozenset(), renews: bool = False, insists: bool = False) -> Claimed:
        """Claim what it presents."""
        return await self.registrar.claim(self.speaker(template=template, renews=renews, insists=insists), self.claims)

    async def renew(self, name: str) -> Claimed:
        """Take another identity, as a copy does, and claim that."""
        template = self.claims[Claim.MACHINE_ID]
        self.claims = identity(name)
        return await self.claim(template=template, renews=True)

    def is_all(self, values: dict[Claim, Values]) -> bool:
        """Whether that is all that it presents."""
        return values == self.claims


MakeMachine = Callable[[str], Machine]
