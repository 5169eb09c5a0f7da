"""Checkup: what `nodeprep doctor` found, as one outcome, a sentence, a text and a document. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from nodeprep import checks
from nodeprep.checks import Check, Outcome
from nodeprep.diagnosis import Proof, Proved, remedy
from nodeprep.model import Opening

PORTS_SHOWN = 4


@dataclass(slots=True)
class Report:
    """What was found."""

    hostname: str
    backend: str
    checks: list[Check] = field(default_factory=list)
    proved: list[Proved] = field(default_factory=list)
    peers: list[str] = field(default_factory=list)
    unheard: list[str] = field(default_factory=list)
    """Why a peer proved nothing."""
    not_tried: list[Opening] = field(default_factory=list)
    closed_by: dict[Proved, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    """Who of this machine closes what is blocked here, and the command that mends it."""

    @property
    def faults(self) -> list[tuple[Proved, Proof, tuple[int, ...]]]:
        """What is not open to whom it is for."""
        return [(each, proof, ports) for each in self.proved for proof, ports in each.faults]

    def closing(self, proved: Proved, proof: Proof) -> str:
        """Return who closes an opening; empty where nobody is known to, or it is not closed here."""
        return "; ".join(who for who, _ in self._closers(proved, proof))

    def remedies(self, proved: Proved, proof: Proof) -> list[str]:
        """Return what mends it."""
        found = [command for _, command in self._closers(proved, proof)]
        return found or [remedy(proof, proved.opening, self.backend)]

    def _closers(self, proved: Proved, proof: Proof) -> tuple[tuple[str, str], ...]:
        return self.closed_by.get(proved, ()) if proof is Proof.HERE else ()

    @property
    def outcome(self) -> Outcome:
        """What it comes to."""
        if self.faults or checks.worst(self.checks) is Outcome.BAD:
            return Outcome.BAD
        unproved = any(proof in (Proof.UNPROVED, Proof.UNTRIED) for each in self.proved for proof, _ in each.ports)
        doubtful = unproved or self.unheard or not self.proved or checks.worst(self.checks) is Outcome.DOUBTFUL
        return Outcome.DOUBTFUL if doubtful else Outcome.GOOD


def summary(report: Report) -> str:
    """Return the one line that a person reads first."""
    faults = report.faults
    if faults:
        each, proof, _ = faults[0]
        names = list(dict.fromkeys(proved.opening.title for proved, _, _ in faults))
        by = f" by {who}" if (who := report.closing(each, proof)) else ""
        more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
        return f"bad: {each.opening.title} is {proof.value}{by}{more}"
    bad = [check for check in report.checks if check.outcome is not Outcome.GOOD]
    if report.unheard and report.outcome is not Outcome.BAD:
        return f"doubtful: {report.unheard[0]}"
    if bad:
        worst = max(bad, key=lambda check: list(Outcome).index(check.outcome))
        return f"{report.outcome.value}: {worst.name}: {worst.detail}"
    proved = {each.opening for each in report.proved}
    by = f"{len(report.peers)} peer{'s' if len(report.peers) > 1 else ''}"
    if report.outcome is Outcome.DOUBTFUL:
        return f"doubtful: some of {len(proved)} openings could not be proved by {by}"
    return f"good: {len(proved)} openings proved by {by}"


def render(report: Report) -> str:
    """Return the report as a person reads it."""
    lines = [summary(report), "", f"Node  {report.hostname}"]
    for check in report.checks:
        lines.append(f"  {check.name:<24} {check.outcome.value:<9} {check.detail}")
        lines += [f"  {'':<34} {check.remedy}"] if check.remedy else []
    for each in report.unheard:
        lines.append(f"  ! {each}")
    for by, address in dict.fromkeys((each.by, each.address) for each in report.proved):
        lines += ["", f"Openings  at {address}, tried by {by}"]
        for proved in (p for p in report.proved if (p.by, p.address) == (by, address)):
            lines += _rows(proved, report)
    for opening in report.not_tried:
        lines.append(f"  {opening.title:<20} not tried: it has no ports")
    return "\n".join(lines)


def _rows(proved: Proved, report: Report) -> list[str]:
    lines = []
    for proof, ports in proved.ports:
        some = f"  ({_few(ports)})" if len(proved.ports) > 1 or proof.is_fault else ""
        lines.append(f"  {proved.opening.title:<20} {proof.value:<20} {proved.opening.purpose}{some}")
        if proof.is_fault:
            by = report.closing(proved, proof)
            lines += [f"  {'':<20} by {by}"] if by else []
            lines += [f"  {'':<20} {each}" for each in report.remedies(proved, proof)]
    return lines


def _few(ports: Sequence[int]) -> str:
    shown = ", ".join(map(str, ports[:PORTS_SHOWN]))
    return f"{shown} and {len(ports) - PORTS_SHOWN} more" if len(ports) > PORTS_SHOWN else shown


def document(report: Report) -> dict[str, Any]:
    """Return the report for programs."""
    return {
        "schema": 1,
        "outcome": report.outcome.value,
        "summary": summary(report),
        "hostname": report.hostname,
        "checks": [
            {"check": c.name, "outcome": c.outcome.value, "detail": c.detail, "remedy": c.remedy} for c in report.checks
        ],
        "peers": report.peers,
        "unheard": report.unheard,
        "openings": [
            {
                "opening": each.opening.title,
                "role": each.opening.role,
                "purpose": each.opening.purpose,
                "address": each.address,
                "by": each.by,
                "proofs": [
                    {
                        "proof": proof.value,
                        "ports": list(ports),
                        "by": report.closing(each, proof),
                        "remedy": "; ".join(report.remedies(each, proof)) if proof.is_fault else "",
                    }
                    for proof, ports in each.ports
                ],
            }
            for each in report.proved
        ],
        "not_tried": [opening.title for opening in report.not_tried],
    }
