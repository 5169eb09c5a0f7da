"""Reporting: what is known, as the one document behind the status file, the journal and systemd's status line. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from nodeprep.messages import BY_CODE
from nodeprep.model import Artefact, Decision, Finding, Kind, Opening, Verdict
from nodeprep.peers.foreign import Foreigner
from nodeprep.peers.message import Reason
from nodeprep.peers.rules import Peer

SCHEMA = 1
STATUS_FILE = "/run/nodeprep/status.json"
READY_FILE = "/run/nodeprep/ready"
PEERS_SHOWN_MAX = 512
"""Of more peers the list shows those that were heard last; the count is of all."""

Document = dict[str, Any]


class Problem(NamedTuple):
    """Something that keeps the node from being ready, or that an operator should know: a code and its detail."""

    code: str
    subject: str
    detail: str
    remedy: str = ""
    """What an operator types, where it is more exact than what the code says."""


CODES = {
    Verdict.CONFLICT: "conflict",
    Verdict.INHERITED: "inherited",
    Verdict.MISSING: "missing",
    Verdict.UNKNOWN: "unreadable",
}


def problem_of(finding: Finding, artefact: Artefact, failed: str | None) -> Problem:
    """Return what is to be said about a finding; failed is why its renewal could not be done."""
    if finding.verdict is Verdict.INHERITED and not failed and artefact.kind is Kind.C:
        held = f"; held: {', '.join(artefact.holds)}" if artefact.holds else ""
        return Problem("held-back", finding.subject, f"{artefact.title}: still the template's{held}", artefact.remedy)
    if finding.verdict is Verdict.INHERITED and not failed and artefact.kind is Kind.B:
        used = finding.used or "its owner may use it"
        return Problem("in-use", finding.subject, f"{artefact.title}: still the template's; {used}", artefact.remedy)
    shown = ", ".join(sorted(finding.values)) if finding.subject in ("hostname", "mac") else ""
    if finding.subject.endswith("-address"):
        shown = ", ".join(sorted(finding.values))
    detail = f"{artefact.title}{f' {shown}' if shown else ''}: {failed or finding.detail}"
    return Problem("renewal-failed" if failed else CODES[finding.verdict], finding.subject, detail)


def identity(
    artefacts: Iterable[Artefact], findings: Iterable[Finding], shown: Mapping[str, str]
) -> list[dict[str, str]]:
    """Return a row for each artefact. shown: artefact → value, or short fingerprint, as anybody may see it."""
    by_name = {finding.subject: finding for finding in findings}
    return [
        {
            "artefact": artefact.name,
            "title": artefact.title,
            "verdict": by_name[artefact.name].verdict.value,
            "value": shown.get(artefact.name, "-"),
            "detail": by_name[artefact.name].detail,
            "remedy": artefact.remedy if by_name[artefact.name].verdict is Verdict.INHERITED else "",
        }
        for artefact in artefacts
        if artefact.name in by_name
    ]


def openings(
    wanted: Sequence[Opening], mode: str, backend: str, closed_by: Sequence[str], remarks: Sequence[str] = ()
) -> Document:
    """Return the part of the document on openings. remarks: sentences on the firewall that they are made in."""
    return {
        "mode": mode,
        "backend": backend,
        "list": [
            {
                "opening": opening.title,
                "purpose": opening.purpose,
                "role": opening.role,
                "from": ", ".join(opening.sources) or "any",
            }
            for opening in wanted
        ],
        "closed_by": list(closed_by),
        "remarks": list(remarks),
    }


def peers(
    links: Sequence[str],
    known: Sequence[tuple[Peer, int]],
    rejected: Mapping[Reason, int],
    echoes: Mapping[str, object],
    keys: Sequence[str] = (),
    foreign: Sequence[tuple[Foreigner, int, bool]] = (),
    silent: Sequence[str] = (),
) -> Document:
    """Return the part of the document on peers. known: with the second at which each was last heard; newest last.

    keys: IDs, the spoken one first. foreign: with the second as well, and whether it bears a MAC of ours; newest last.
    silent: configured peers that were not heard yet.
    """
    return {
        "links": list(links),
        "count": len(known),
        "contested": [
            {"peer": peer.name, "kinds": sorted(kind.name.lower() for kind in peer.contested)}
            for peer, _ in known
            if peer.contested
        ],
        "rejected": sum(rejected.values()),
        "rejected_by": {reason.value: number for reason, number in rejected.items() if number},
        "echoes": sorted(echoes),
        "keys": list(keys),
        "silent": list(silent),
        "foreign": [_foreigner(*one) for one in reversed(foreign)],
        "list": [_peer(peer, heard_s) for peer, heard_s in reversed(known[-PEERS_SHOWN_MAX:])],
    }


def registry(state: str, where: str = "", claims: int = 0, detail: str = "") -> Document:
    """Return the part of the document on the registry.

    state: "off", "waiting", "claimed", "contested", "away", "refused" or "released".
    """
    return {"state": state, "where": where, "claims": claims, "detail": detail}


def _peer(peer: Peer, heard_s: int) -> Document:
    return {
        "peer": peer.name,
        "role": peer.role,
        "state": peer.standing.name.lower(),
        "last_heard": heard_s,
        "heard_on": [{"link": source.link, "address": source.address} for source in reversed(peer.sources)],
        "contested": sorted(kind.name.lower() for kind in peer.contested),
        "outcome": peer.outcome.value if peer.outcome else "",
        "key": peer.key,
    }


def _foreigner(one: Foreigner, heard_s: int, bears_our_mac: bool) -> Document:
    return {
        "link": one.source.link,
        "address": one.source.address,
        "last_heard": heard_s,
        "frames": one.frames,
        "own_mac": bears_our_mac,
    }


def document(
    *,
    state: str,
    version: str,
    boot_id: str,
    roles: Sequence[str],
    hostname: str,
    decision: Decision,
    identity: list[dict[str, str]],
    changes: Iterable[tuple[str, str, str]],
    peers: Document,
    openings: Document,
    registry: Document,
    problems: Sequence[Problem],
    warnings: Sequence[Problem],
) -> Document:
    """Return the status document. state: "starting", "ready", "degraded" or "held"."""
    return {
        "schema": SCHEMA,
        "version": version,
        "state": state,
        "summary": summary(state, hostname, decision, problems, warnings),
        "boot_id": boot_id,
        "node": {
            "roles": list(roles),
            "hostname": hostname,
            "origin": decision.origin.value,
            "reason": decision.reason,
            "joined": decision.joined,
        },
        "identity": identity,
        "changes": [{"artefact": name, "old": old, "new": new} for name, old, new in changes],
        "peers": peers,
        "openings": openings,
        "registry": registry,
        "problems": [_row(problem) for problem in problems],
        "warnings": [_row(problem) for problem in warnings],
    }


def summary(
    state: str, hostname: str, decision: Decision, problems: Sequence[Problem], warnings: Sequence[Problem]
) -> str:
    """Return the one line that a person reads first."""
    if state == "starting":
        return f"{hostname}: preparing ({decision.origin.value})"
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        return f"{hostname}: {problems[0].detail}{more}"
    told = f", {len(warnings)} warning{'s' if len(warnings) > 1 else ''}" if warnings else ""
    return f"{hostname}: identity is its own ({decision.origin.value}){told}"


def _row(problem: Problem) -> dict[str, str]:
    message = BY_CODE[problem.code]
    return {
        "code": problem.code,
        "subject": problem.subject,
        "title": message.title,
        "detail": problem.detail,
        "remedy": problem.remedy or message.remedy,
    }
