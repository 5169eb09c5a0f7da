"""Judging: a decision about the boot, a verdict on each subject, and whether the node may be called ready. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nodeprep.model import (
    Artefact,
    Claim,
    Decision,
    Finding,
    Kind,
    Lacking,
    Observation,
    Origin,
    Unreadable,
    Values,
    Verdict,
)
from nodeprep.stamp import Stamp, fingerprint, fingerprints
from nodeprep.steps import Outcome, Result

Inherited = Mapping[str, Values]
"""Artefact → fingerprints that the template holds."""


PLATFORM_SIGNALS = {
    "product-uuid": "product UUID",
    "cloud-instance-id": "cloud instance ID",
    "container-uuid": "container UUID",
    "vm-generation-id": "VM generation ID",
    "disk-serial": "disk serial",
}
"""Kind → title, the most telling first. A VM generation ID is new after a snapshot was restored, too: never alone."""


def _compare(stamp: Stamp, signals: Mapping[str, Values], kind: str) -> str:
    """Return "same", "new" or "unknown" for one kind of signal; what could not be read is never "new"."""
    before, now = stamp.hardware.get(kind), fingerprints(kind, signals.get(kind, ()))
    if not before or not now:
        return "unknown"
    return "same" if before & now else "new"


def _platform(stamp: Stamp, signals: Mapping[str, Values]) -> tuple[str, str]:
    """Return which signal tells of the platform, and what: the first of them that is known then and now.

    Hypervisors give the disks of all their machines one serial (QM00001, drive-scsi0): there "same" says nothing.
    """
    for kind, title in PLATFORM_SIGNALS.items():
        told = _compare(stamp, signals, kind)
        if told == "new" or (told == "same" and kind != "disk-serial"):
            return title, told
    return "product UUID", "unknown"


def decide(
    stamp: Stamp | None,
    signals: Mapping[str, Values],
    *,
    baked_offline: bool,
    on_hardware_change: str,
    joined: bool,
    sealed: bool = False,
) -> Decision:
    """Return how this boot relates to the machine that wrote the stamp.

    signals: kind → values that could be read. on_hardware_change: "decide", "renew" or "keep".
    """
    if baked_offline:
        how = "sealed" if sealed else "baked offline"
        return Decision(Origin.FIRST_BOOT, f"the image was {how} and boots for the first time", joined)
    if stamp is None:
        return Decision(Origin.ADOPTED, "no stamp: this machine ran before nodeprep, and keeps what it has", joined)
    named, platform = _platform(stamp, signals)
    macs = _compare(stamp, signals, "permanent-mac")
    if "new" not in (platform, macs):
        return Decision(Origin.SAME, "the hardware is the one in the stamp", joined)
    change = f"{named} {platform}, permanent MACs {macs}"
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


def doubted(decision: Decision, fault: str) -> Decision:
    """Return the decision, where the newest stamp cannot be read for a fault.

    Only "the same hardware", as in the stamp before that one, is believed then. Of all else the lost one could tell
    otherwise: that an operator kept this identity on other hardware, or that this is a copy.
    """
    if not fault or decision.origin in (Origin.FIRST_BOOT, Origin.SAME):
        return decision
    return Decision(Origin.WEAK, fault, decision.joined)


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


def readiness(
    artefacts: Iterable[Artefact], findings: Iterable[Finding], outcomes: Iterable[Outcome], decision: Decision
) -> Readiness:
    """Return what keeps the node from being ready.

    A conflict, a lack and what could not be read always do. What is still inherited does where its renewal was tried
    and failed; otherwise no step could change it without an operator's policy, and it is a warning. On a joined clone,
    which is held as a whole, it need not be told one by one. What nobody can change inside the guest (class R) is only
    shown.
    """
    only_shown = {artefact.name for artefact in artefacts if artefact.kind is Kind.R}
    unfinished = {outcome.subject for outcome in outcomes if outcome.result is not Result.DONE}
    blocking, warnings = [], []
    for finding in findings:
        if finding.subject in only_shown:
            continue
        match finding.verdict:
            case Verdict.CONFLICT | Verdict.MISSING | Verdict.UNKNOWN:
                blocking.append(finding)
            case Verdict.INHERITED if finding.subject in unfinished:
                blocking.append(finding)
            case Verdict.INHERITED if not (decision.joined and decision.origin.renews):
                warnings.append(finding)
            case _:
                pass
    return Readiness(tuple(blocking), tuple(warnings))


def wanting(findings: Iterable[Finding]) -> bool:
    """Whether anything is left that a renewal could be about."""
    return any(f.verdict in (Verdict.INHERITED, Verdict.CONFLICT, Verdict.MISSING) for f in findings)
