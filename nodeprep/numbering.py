"""Numbering: the lowest number that no other hostname of the fleet has, claimed before the name is planned with.

In the registry where there is one; otherwise on the segment: peers are surveyed for the numbers that are taken, and the
lowest free one is probed as hostname. Of twins that probe one number at one instant each knows from the probing how
many go before it, and takes the number that many places further on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from nodeprep import naming, numbers
from nodeprep.model import Claim, Finding, Values
from nodeprep.numbers import Number
from nodeprep.observe import presented
from nodeprep.peers.message import ClaimKind, Standing
from nodeprep.peers.rules import Outcome, Peer
from nodeprep.registry.claimed import Speaker
from nodeprep.run import Run
from nodeprep.wire import Wire

if TYPE_CHECKING:  # loaded only where a registry is configured
    from nodeprep.registrar import Registrar

TRIES_MAX = 8
WINDOW = 64
WINDOWS_MAX = 16
"""So many numbers taken on one segment are more machines than fit on it."""


async def secure_number(
    this: Run,
    finding: Finding,
    speaker: Speaker,
    wire: Wire,
    registrar: Registrar | None,
    tell: Callable[[str], None],
) -> str | None:
    """Return the digits of the number that this machine has claimed, or None where none is free. Raises RegistryError.

    It is kept in nodeprep's own state, and tried first if the name is to be given once more.
    """
    tell("looking for a free number")
    machine = this.machine
    macs = sorted(link.permanent_mac or link.mac for link in machine.links())
    name_of = naming.namer(machine, this.config, this.machine_id(), macs)
    drawn = numbers.read(machine)
    first = drawn.number if drawn and drawn.machine == speaker.machine else None
    excluded = finding.values | this.contested.get(Claim.HOSTNAME, frozenset())
    by_name: dict[str, int] = {}

    def names() -> Iterator[str]:
        for name, number in numbers.names(name_of, first, excluded):
            by_name[name] = number
            yield name

    wire.listen(machine.links())
    name = await (registrar.draw(speaker, names()) if registrar else _draw(this, wire, names()))
    if name is None:
        return None
    number = Number(by_name[name], speaker.machine)
    if number != drawn:
        machine.write_own(numbers.PATH, numbers.encode(number).encode(), 0o600)
    return numbers.digits(number.number)


async def _draw(this: Run, wire: Wire, names: Iterator[str]) -> str | None:
    """Return the first of these names that no peer has; afterwards it is claimed by us."""
    windows = [window] if (window := tuple(islice(names, WINDOW))) else []
    free = await _free(wire, windows, names)
    place = 0
    for turn in range(TRIES_MAX):
        if turn > 1:  # those that went before have what they took
            free, place = await _free(wire, windows, names), place_after(0, wire.census.peers)
        if not free:
            return None
        name = free[min(place, len(free) - 1)]
        if await _claim(this, wire, name):
            return name
        further = place_after(place, wire.census.peers)
        if further == place:  # a machine that is ready has it, and was not heard before
            free = [other for other in free if other != name]
        place = further
    return None


async def _free(wire: Wire, windows: list[tuple[str, ...]], names: Iterator[str]) -> list[str]:
    """Return what nobody has of the first window that is not all taken; more windows are opened as they are needed."""
    for place in range(WINDOWS_MAX):
        if place == len(windows):
            windows.append(tuple(islice(names, WINDOW)))
        taken: Values = await wire.survey(Claim.HOSTNAME, windows[place]) if windows[place] else frozenset()
        if free := [name for name in windows[place] if name not in taken]:
            return free
    return []


async def _claim(this: Run, wire: Wire, name: str) -> bool:
    """Whether no peer keeps the name from us; afterwards it is claimed by us."""
    claims = presented(this.artefacts, this.machine, this.observation)
    own = {kind: values - this.contested.get(kind, frozenset()) for kind, values in claims.items()}
    contest = await wire.probe(own | {Claim.HOSTNAME: frozenset({name})}, Standing.PROBING)
    return Claim.HOSTNAME not in contest.lost and Claim.HOSTNAME not in contest.disputed


def place_after(place: int, peers: tuple[Peer, ...]) -> int:
    """Return which of the free numbers to try next: as many places further on as there are rivals that go before us."""
    return place + sum(
        peer.standing is Standing.PROBING and peer.outcome is Outcome.YIELD and ClaimKind.HOSTNAME in peer.contested
        for peer in peers
    )
