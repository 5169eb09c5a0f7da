"""`nodeprep release`: gives up what this machine claims in the registry, or frees the name of a machine that is gone.

What is given up stays so until the next boot, which claims anew. A copy that is held cannot give up its original's.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from ipaddress import ip_address
from typing import NamedTuple

from nodeprep import config, fleetkey, numbers
from nodeprep.errors import ConfigError, HostError
from nodeprep.host.local import LocalMachine
from nodeprep.model import Claim
from nodeprep.nonce import nonce
from nodeprep.registrar import RELEASED, Registrar, make_registrar
from nodeprep.registry import tenure
from nodeprep.verbs import Typed


class Freed(NamedTuple):
    """What was freed."""

    number: int | None
    claims: int
    registry: str
    """Where, if there is one."""


def main(typed: Typed) -> int:
    """Free what is asked for and say so. Raises NodeprepError where that is refused or fails."""
    name = typed.operands[0] if typed.operands else None
    freed = asyncio.run(free(LocalMachine("release"), name))
    if typed.as_json:
        print(json.dumps({"schema": 1, **freed._asdict()}))
        return 0
    number = f"the number {numbers.digits(freed.number)} and " if freed.number else ""
    claims = f"{freed.claims} claim{'' if freed.claims == 1 else 's'}"
    print(f"freed {number}{claims}" + (f" in {freed.registry}" if freed.registry else ""))
    if name is None and freed.claims:
        print("power this machine off now: another one may take its name")
    return 0


async def free(machine: LocalMachine, name: str | None) -> Freed:
    """Free all that this machine has, or one name or address of another. Raises NodeprepError."""
    settings = config.load(machine)
    registrar = None
    if settings.registry.etcd:
        keys = fleetkey.fleet_keys(machine)
        if not keys:
            raise HostError("without a fleet key nothing can be found in the registry")
        registrar = make_registrar(replace(settings.registry, wait_s=0), keys, machine, nonce(machine), lambda: None)
    try:
        if name is not None:
            return await _free_name(registrar, settings, name)
        drawn = numbers.read(machine)
        claims = 0
        if registrar:
            await registrar.begin_giving_up()
            machine.write_own(RELEASED, b"", 0o644)  # from here on the daemon claims nothing any more
            claims = await registrar.give_up()
    finally:
        if registrar:
            registrar.close()
    for path in (numbers.PATH, tenure.PATH):
        machine.remove_own(path)
    where = registrar.where if registrar else ""
    return Freed(drawn.number if drawn else None, claims, where)


async def _free_name(registrar: Registrar | None, settings: config.Config, name: str) -> Freed:
    if registrar is None:
        raise ConfigError(settings.origin("registry.etcd"), "registry.etcd", "names no registry", "name its members")
    if not await registrar.free(claim_of(name), name):
        raise HostError(f"{name}: nobody has claimed it in {registrar.where}")
    return Freed(None, 1, registrar.where)


def claim_of(name: str) -> Claim:
    """Return what a name is a claim to: an address, or a hostname."""
    try:
        return Claim.IPV4 if ip_address(name).version == 4 else Claim.IPV6
    except ValueError:
        return Claim.HOSTNAME
