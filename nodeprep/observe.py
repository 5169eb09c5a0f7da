"""Observing: ask every artefact what it is now. Reads, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterable

from nodeprep.errors import HostError
from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Claim, Lacking, Observation, Reading, Unreadable, Values


def observe(artefacts: Iterable[Artefact], machine: MachineView, *, first_boot: bool = False) -> dict[str, Reading]:
    """Return artefact → reading; one that cannot be read says so and spoils no other.

    first_boot: what was taken out of the image, or never made in it, is lacking where its owner is installed.
    """
    return {
        artefact.name: _lacking(artefact, machine) if first_boot else _read(artefact, machine) for artefact in artefacts
    }


def _lacking(artefact: Artefact, machine: MachineView) -> Reading:
    try:
        why = artefact.lacks(machine) if artefact.lacks else ""
    except HostError as error:
        return Unreadable(str(error))
    return Lacking(why) if why else _read(artefact, machine)


def _read(artefact: Artefact, machine: MachineView) -> Reading:
    try:
        return artefact.observe(machine)
    except HostError as error:
        return Unreadable(str(error))


def presented(artefacts: Iterable[Artefact], machine: MachineView, observation: Observation) -> dict[Claim, Values]:
    """Return claim → values that this machine presents on the wire."""
    claims: dict[Claim, Values] = {}
    for artefact in artefacts:
        if artefact.claim is None:
            continue
        values = artefact.present(machine) if artefact.present else observation.get(artefact.name)
        if isinstance(values, frozenset) and values:
            claims[artefact.claim] = values
    return claims


def joined(artefacts: Iterable[Artefact], machine: MachineView) -> tuple[str, ...]:
    """Return the artefacts by which this machine is a member of a cluster.

    What cannot be read counts as well: where in doubt, nothing is renewed under a member.
    """
    members = (artefact for artefact in artefacts if artefact.joins)
    return tuple(artefact.name for artefact in members if _read(artefact, machine) != frozenset())
