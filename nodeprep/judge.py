"""Judging: a decision about the boot, a verdict on each subject, and whether the node may be called ready. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nodeprep.model import Artefact, Claim, Decision, Finding, Lacking, Observation, Origin, Unreadable, Values, Verdict
from nodeprep.stamp import Stamp, fingerprint, fingerprints
from nodeprep.steps import Outcome, Result

Inherited = Mapping[str, Values]
"""Artefact → fingerprints that the template holds."""


def _compare(stamp: Stamp, signals: Mapping[str, Values], kind: str) -> str:
    """Return "same", "new" or "unknown" for one kind of signal; what could not be read is never "new"."""
    before, now = stamp.hardware.get(kind), fingerprints(kind, signals.get(kind, ()))
    if not before or not now:
        return "unknown"
    return "same" if before & now else "new"


def decide(
    stamp: Stamp | None, signals: Mapping[str, Values], *, baked_offline: bool, on_hardware_change: str, joined: bool
) -> Decision:
    """Return how this boot relates to the machine that wrote the stamp.

    signals: kind → values that could be read. on_hardware_change: "decide", "renew" or "keep".
    """
    if baked_offline:
        return Decision(Origin.FIRST_BOOT, "the image was baked offline and boots for the first time", joined)
    if stamp is None:
        return Decision(Origin.ADOPTED, "no stamp: this machine ran before nodeprep, and keeps what it has", joined)
    platform = _compare(stamp, signals, "product-uuid")
    if platform == "unknown":
        platform = _compare(stamp, signals, "cloud-instance-id")
    macs = _compare(stamp, signals, "permanent-mac")
    if "new" not in (platform, macs):
        return Decision(Origin.SAME, "the hardware is the one in the stamp", joined)
    change = f"product UUID {platform}, permanent MACs {macs}"
    if on_hardware_change == "renew":
        return Decision(Origin.CLONE, f"{change}; identity.on_hardware_change = renew", joined)
    if on_hardware_change == "keep":
        return Decision(Origin.MOVED, f"{change}; identity.on_hardware_change = keep", joined)
    match platform, macs:
        case "new", "new":
            return Decision(Origin.CLONE, f"{change}: a copy on other hardware", joined)
        case "new", "same":
            return Decision(Origin.MOVED, f"{change}: the machine was moved or restored", joined)
        case "same", "new":
            return Decision(Origin.NEW_NIC, f"{change}: a network card was replaced", joined)
        case "unknown", "new" if not joined:
            return Decision(Origin.CLONE, f"{change}: only the MACs can tell, and it never joined a cluster", joined)
        case _:
            return Decision(Origin.WEAK, f"{change}: not enough to call it a copy", joined)


def judge(
    artefacts: Iterable[Artefact],
    observation: Observation,
    inherited: Inherited,
    contested: Mapping[Claim, Values],
) -> tuple[Finding, ...]:
    """Return a verdict for every artefact that was observed.

    contested: claim → values that a live peer presents and this machine must yield or cannot keep alone.
    """
    findings = []
    for artefact in artefacts:
        if artefact.name not in observation:
            continue
        reading = observation[artefact.name]
        lost = contested.get(artefact.claim, frozenset()) if artefact.claim else frozenset()
        findings.append(_verdict(artefact.name, reading, inherited.get(artefact.name, frozenset()), lost))
    return tuple(findings)


def _verdict(name: str, reading: Unreadable | Lacking | Values, template: Values, lost: Values) -> Finding:
    if isinstance(reading, Unreadable):
        return Finding(name, Verdict.UNKNOWN, detail=reading.reason)
    if isinstance(reading, Lacking):
        return Finding(name, Verdict.MISSING, detail=reading.reason)
    if lost:
        return Finding(name, Verdict.CONFLICT, lost, "a live peer presents it")
    if same := frozenset(value for value in reading if fingerprint(name, value) in template):
        return Finding(name, Verdict.INHERITED, same, "still the template's")
    return Finding(name, Verdict.OWN if reading else Verdict.ABSENT, reading)


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the node may be called ready, and what stands against it."""

    blocking: tuple[Finding, ...]
    warnings: tuple[Finding, ...]

    @property
    def ready(self) -> bool:
        return not self.blocking


def readiness(findings: Iterable[Finding], outcomes: Iterable[Outcome], decision: Decision) -> Readiness:
    """Return what keeps the node from being ready.

    A conflict, a lack and what could not be read always do. What is still inherited does on a joined clone and where
    its renewal was tried and failed; otherwise no step could change it without an operator's policy, and it is a
    warning.
    """
    unfinished = {outcome.subject for outcome in outcomes if outcome.result is not Result.DONE}
    blocking, warnings = [], []
    for finding in findings:
        match finding.verdict:
            case Verdict.CONFLICT | Verdict.MISSING | Verdict.UNKNOWN:
                blocking.append(finding)
            case Verdict.INHERITED if finding.subject in unfinished or (decision.joined and decision.origin.renews):
                blocking.append(finding)
            case Verdict.INHERITED:
                warnings.append(finding)
            case Verdict.OWN | Verdict.ABSENT:
                pass
    return Readiness(tuple(blocking), tuple(warnings))
