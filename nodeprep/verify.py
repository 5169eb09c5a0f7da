"""Verifying: observe again, and let the same judge find nothing. Pure but for the view that it observes through."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from nodeprep.judge import Inherited, judge
from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Claim, Finding, Observation, Values
from nodeprep.observe import observe, presented


def verify(
    artefacts: Iterable[Artefact],
    machine: MachineView,
    inherited: Inherited,
    contested: Mapping[Claim, Values],
) -> tuple[Observation, tuple[Finding, ...], dict[Claim, Values]]:
    """Return what is there now, the verdicts on it, and what of the contested values is still presented."""
    artefacts = tuple(artefacts)
    observation = observe(artefacts, machine)
    still = presented(artefacts, machine, observation)
    left = {claim: values & still.get(claim, frozenset()) for claim, values in contested.items()}
    left = {claim: values for claim, values in left.items() if values}
    return observation, judge(artefacts, observation, inherited, left), left
