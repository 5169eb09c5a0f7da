"""Telling: from what a Run knows to what is said of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nodeprep import __version__, report, run
from nodeprep.config import Config
from nodeprep.contest import Contest
from nodeprep.host.local import LocalMachine
from nodeprep.judge import readiness
from nodeprep.model import Claim, Decision, Origin, Sighting, Values
from nodeprep.registry.claimed import Claimed
from nodeprep.report import Problem
from nodeprep.run import Run
from nodeprep.steps import Result
from nodeprep.watch import with_holders
from nodeprep.wire import Wire

if TYPE_CHECKING:  # loaded only where a registry is configured
    from nodeprep.registrar import Registrar

NOT_POOLED = (("ipv4-address", "conflict"), ("ipv6-address", "conflict"))
"""What is left of these where the pool should have helped."""
REGISTRY_STATES = {
    "claimed": "contested",
    "registry-away": "away",
    "registry-copy": "contested",
    "registry-refused": "refused",
    "released": "released",
}
NO_OPENINGS = report.openings((), "off", "-", ())


def weigh(
    this: Run,
    contest: Contest,
    openings: report.Document,
    holders: Sequence[Sighting],
    holding: Sequence[str] = (),
    *,
    is_ready: bool = False,
) -> tuple[list[Problem], list[Problem]]:
    """Return what keeps the node from being ready, and what an operator should know besides.

    holders: who without nodeprep answers for what is contested. holding: what still holds the old machine ID.
    is_ready: it was before, and no other address is taken from a pool any more, whatever the policy.
    """
    by_name = {artefact.name: artefact for artefact in this.artefacts}
    failed = {o.subject: o.detail for o in this.outcomes.values() if o.result is not Result.DONE}
    weight = readiness(this.artefacts, this.findings, this.outcomes.values(), this.decision)
    problems = [report.problem_of(f, by_name[f.subject], failed.get(f.subject)) for f in weight.blocking]
    warnings = [report.problem_of(f, by_name[f.subject], None) for f in weight.warnings]
    if not contest.clear and not problems:
        problems.append(Problem("conflict", "", "a live peer contests this node's identity"))
    if contest.deaf:
        problems.append(Problem("no-link", "", contest.deaf))
    if this.decision.joined and this.decision.origin.renews:
        problems.insert(0, _joined_clone(this, this.decision.reason))
    elif this.decision.joined and this.contested:
        problems.insert(0, _joined_clone(this, "a live peer presents the identity of this joined machine"))
    if this.config.address.on_conflict == "pool" and not is_ready:
        problems = [p._replace(code="no-pool-address") if (p.subject, p.code) in NOT_POOLED else p for p in problems]
    if this.decision.origin in (Origin.MOVED, Origin.NEW_NIC):
        warnings.append(Problem("moved", "", this.decision.reason))
    if this.doubt:
        # Where nothing tells that this is the machine itself it is held, and its stamp stays as it is.
        (problems if this.decision.origin is Origin.WEAK else warnings).append(Problem("stamp", "", this.doubt))
    elif this.decision.origin is Origin.WEAK:
        warnings.append(Problem("weak-evidence", "", this.decision.reason))
    problems = with_holders(problems, holders)
    if holding:
        problems.append(Problem("old-identity-held", "machine-id", ", ".join(holding)))
    return openings_anew(this, openings, problems, warnings)


def failure(this: Run, subject: str) -> str:
    """Return why the last step for a subject failed or was skipped, "" if it did not or there was none."""
    outcome = this.outcomes.get(subject)
    return outcome.detail if outcome and outcome.result is not Result.DONE else ""


def openings_anew(
    this: Run, openings: report.Document, problems: Sequence[Problem], warnings: Sequence[Problem]
) -> tuple[list[Problem], list[Problem]]:
    """Return problems and warnings with what there is to say of the openings now."""
    said = [Problem("openings", "openings", f"may be closed by {name}") for name in openings["closed_by"]]
    said += [Problem("openings", "openings", remark) for remark in openings["remarks"]]
    failed = [Problem("openings", "openings", detail) for detail in (failure(this, "openings"),) if detail]
    rest = ([each for each in told if each.code != "openings"] for told in (problems, warnings))
    return [*next(rest), *failed], [*next(rest), *said]


def _joined_clone(this: Run, why: str) -> Problem:
    """Return what is said of a copy that is a member of a cluster: by what, and the commands that end it."""
    members = [a for a in this.artefacts if a.joins and this.observation.get(a.name)]
    ways = "; ".join(dict.fromkeys(artefact.remedy for artefact in members))
    remedy = (
        f"If this is the copy: `{ways}`, or `nodeprep decide renew`, which sets its membership aside. "
        "If it is the original, restored or moved: `nodeprep decide keep`."
    )
    return Problem("joined-clone", "", f"{why} ({', '.join(artefact.title for artefact in members)})", remedy)


def document(
    this: Run | None,
    wire: Wire | None,
    state: str,
    boot_id: str,
    openings: report.Document,
    problems: Sequence[Problem],
    warnings: Sequence[Problem],
    registrar: Registrar | None = None,
) -> report.Document:
    """Return the status document; this and wire are None as long as there is nothing to say of them."""
    settings = this.config if this else Config()
    shown = {a.name: run.show(a, this.observation.get(a.name)) for a in this.artefacts} if this else {}
    return report.document(
        state=state,
        version=__version__,
        boot_id=boot_id,
        roles=settings.node.roles,
        hostname=this.machine.hostname() if this else LocalMachine("status").hostname(),
        decision=this.decision if this else Decision(Origin.SAME, "not judged yet"),
        identity=report.identity(this.artefacts, this.findings, shown) if this else [],
        changes=[(c.artefact, c.old, c.new) for c in this.changes.values()] if this else [],
        peers=peers(wire),
        openings=openings,
        registry=registry(registrar),
        problems=problems,
        warnings=[*warnings, *echoed(wire), *foreign(wire)],
    )


def peers(wire: Wire | None) -> report.Document:
    """Return the part of the document on peers."""
    if wire is None:
        return report.peers((), (), {}, {})
    census = wire.census
    return report.peers(
        wire.links, wire.peers, census.rejected, census.echoes, wire.key_ids, wire.foreigners, wire.silent
    )


def registry(registrar: Registrar | None) -> report.Document:
    """Return the part of the document on the registry."""
    if registrar is None:
        return report.registry("off")
    code, detail = registrar.troubles[0] if registrar.troubles else ("", "")
    state = REGISTRY_STATES.get(code, "claimed" if registrar.claimed else "waiting")
    return report.registry(state, registrar.where, registrar.claimed, detail)


def registered(problems: Sequence[Problem], registrar: Registrar | None, claimed: Claimed) -> list[Problem]:
    """Return the problems, with the registry named where it was that which told of a conflict."""
    if registrar is None:
        return list(problems)
    lost = {claim.value for claim in claimed.lost}
    return [
        p._replace(code="claimed", detail=p.detail.replace("a live peer presents it", f"claimed in {registrar.where}"))
        if p.subject in lost and p.code in ("conflict", "no-pool-address")
        else p
        for p in problems
    ]


def echoed(wire: Wire | None) -> list[Problem]:
    """Return what is to be said of frames of ours that came back."""
    echoes = wire.census.echoes if wire else {}
    return [Problem("echo", "", f"{number} frames on {link}") for link, (number, _) in sorted(echoes.items())]


def foreign(wire: Wire | None) -> list[Problem]:
    """Return what is to be said of those who speak under no fleet key of ours: in one line, however many there are."""
    seen = wire.foreigners if wire else ()
    if not seen:
        return []
    last, _, _ = seen[-1]
    more = f" and {len(seen) - 1} more" if len(seen) > 1 else ""
    twin = next((f"; {one.source.address} is a MAC of this node" for one, _, is_ours in seen if is_ours), "")
    return [Problem("foreign-key", "", f"{last.source.address} on {last.source.link}{more}{twin}")]


def disputed(values: Mapping[Claim, Values]) -> dict[Claim, Problem]:
    """Return what is to be said of values that a peer presents which is as ready as this node."""
    return {
        claim: Problem(
            "dispute", claim.value, f"{claim.value}: a live peer that is ready presents it too ({len(several)})"
        )
        for claim, several in values.items()
    }
