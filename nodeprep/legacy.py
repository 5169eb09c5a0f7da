"""The legacy: which of the values that a machine has are its template's. Reads, and decides nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Claim, Decision, Observation, Origin, Unreadable, Values
from nodeprep.stamp import Stamp, fingerprints


def legacy(
    artefacts: Iterable[Artefact],
    machine: MachineView,
    observation: Observation,
    decision: Decision,
    stamp: Stamp | None,
    contested: Mapping[Claim, Values],
) -> dict[str, Values]:
    """Return artefact → fingerprints that are a template's, for those that could be read.

    On a clone that is what the stamp says; on a first boot and on a twin it is everything there is, but for what the
    artefact knows to be the hardware's own. Where a link was replaced it is what follows the hardware.
    """
    known = stamp.artefacts if stamp and decision.origin is Origin.CLONE else None
    found: dict[str, Values] = {}
    for artefact in artefacts:
        reading = observation[artefact.name]
        if decision.origin is Origin.NEW_NIC and not artefact.follows_hardware:
            continue
        if isinstance(reading, Unreadable):
            continue
        if known is not None and not artefact.volatile:
            found[artefact.name] = known.get(artefact.name, frozenset())
        elif isinstance(reading, frozenset):
            lost = contested.get(artefact.claim, frozenset()) if artefact.claim else frozenset()
            values = artefact.handed_down(machine, reading) | lost if artefact.handed_down else reading
            found[artefact.name] = fingerprints(artefact.name, values)
        else:  # what is lacking now is nobody's legacy, and neither is what will be made in its place
            found[artefact.name] = frozenset()
    return found
