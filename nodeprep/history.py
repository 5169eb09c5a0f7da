"""History: how what the attic holds comes back.

Bringing back is a plan like any other: made from a run's manifest, seen to be possible as a whole, then applied. What
it replaces goes into a run of its own, so that it can be taken back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from nodeprep import renewal
from nodeprep.artefacts import catalogue
from nodeprep.errors import NodeprepError
from nodeprep.host import attic, programs
from nodeprep.host.attic import Entry
from nodeprep.host.local import LocalMachine
from nodeprep.reading import literal
from nodeprep.steps import Action, BringBack, Plan, RenameFolder, SetAside, SetHostname, SetLinkMac, SetProfile, Step

OF_FIELD = {
    "hostname": "hostname",
    "mac": "mac",
    "ipv4_addresses": "ipv4-address",
    "ipv6_addresses": "ipv6-address",
}
"""What a manager changed → the artefact that it is of."""
ONLY_NAMED = ("mac", "ipv4-address", "ipv6-address")
"""Brought back only if they are named, since whoever types it may be connected through them."""


class RestoreError(NodeprepError):
    """Why nothing is brought back."""


def subjects(entry: Entry) -> tuple[str, ...]:
    """Return the artefacts that an entry is of: of what a manager changed in one go, the one that it changed."""
    return (OF_FIELD[entry.field],) if entry.field in OF_FIELD else entry.subjects


def foresee(run: str, names: Sequence[str], machine: LocalMachine) -> tuple[Plan, tuple[str, ...]]:
    """Return the steps that bring back what a run kept, and sentences on what is left out.

    Raises RestoreError where any of it cannot be done.
    """
    if run not in attic.runs(machine.real("")):
        raise RestoreError(f"there is no run {run!r}; `nodeprep history` lists them")
    if renewal.read(machine) is not None:
        raise RestoreError("a renewal is under way, and would renew it again: end it with `nodeprep decide keep` first")
    entries = attic.manifest(run, machine.real(""))
    known = sorted({subject for entry in entries for subject in subjects(entry)})
    if unknown := sorted(set(names) - set(known)):
        raise RestoreError(f"nothing of {', '.join(unknown)} is in {run}; it has {', '.join(known)}")
    wanted = set(names) or set(known) - set(ONLY_NAMED)
    holding = {a.name: programs.active_units(frozenset(a.holds)) for a in catalogue() if a.name in wanted and a.holds}
    if units := sorted(unit for running in holding.values() for unit in running):
        raise RestoreError(
            f"{', '.join(units)} would work on what comes back: `systemctl stop {' '.join(units)}` first"
        )
    # Who named some knows that the others stay.
    unnamed = () if names else [name for name in known if name not in wanted]
    skipped = [f"{name} is left as it is: name it to bring it back" for name in unnamed]
    steps = []
    for name in reversed(dict.fromkeys(subject for entry in entries for subject in subjects(entry))):
        if name in wanted:
            actions = way_back(
                run,
                [entry for entry in entries if name in subjects(entry)],
                lambda entry: attic.is_kept(run, entry, machine.real("")),
                machine.exists,
                skipped if names else [],
            )
            if actions:
                steps.append(Step((name,), actions, f"as it was before {run}"))
    if not steps:
        raise RestoreError(f"nothing of {', '.join(sorted(wanted)) or run} can be brought back; see `nodeprep history`")
    return Plan(tuple(steps)), tuple(skipped)


def way_back(
    run: str,
    entries: Iterable[Entry],
    is_kept: Callable[[Entry], bool],
    exists: Callable[[str], bool],
    skipped: list[str],
) -> tuple[Action, ...]:
    """Return the actions that undo one artefact's entries of a run. Raises RestoreError where something is lost.

    The last entry is undone first. Of several on one thing the first tells how it was, and of a folder that was set
    aside what came into its place goes with it. What was made goes only where something else takes its place; what is
    there already is added to skipped.
    """
    entries = tuple(entries)
    first: dict[tuple[str, ...], Entry] = {}
    for entry in entries:
        displaced = any(entry.path.startswith(f"{one.path}/") for one in first.values() if one.what == "set aside")
        if entry.what not in ("begun", "returned") and not displaced:
            first.setdefault((entry.path, entry.field, entry.profile, entry.link), entry)
    returned = {entry.kept for entry in entries if entry.what == "returned"}
    old = [entry for entry in first.values() if entry.kept]
    actions: list[Action] = []
    for entry in reversed(first.values()):
        match entry.what:
            case "replaced" | "set aside" if is_kept(entry):
                actions.append(BringBack(run, entry.kept, entry.path))
            case "set aside" if entry.kept in returned or exists(entry.path):
                skipped.append(f"{entry.path} was brought back before, or never left its place")
            case "replaced" | "set aside":
                raise RestoreError(f"{entry.path} is not in {run} any more: nothing was touched")
            case "made" if old and exists(entry.path):
                actions.append(SetAside(literal(entry.path)))
            case "brought back" if exists(entry.path):
                actions.append(SetAside(literal(entry.path)))
            case "renamed" if exists(entry.new):
                actions.append(RenameFolder(entry.new, entry.path))
            case "changed" if change := _change_back(entry):
                actions.append(change)
            case _:
                skipped.append(f"{entry.path or entry.field} stays: it was {entry.what}")
    return tuple(actions)


def _change_back(entry: Entry) -> Action | None:
    if entry.field == "hostname":
        return SetHostname(entry.old) if entry.old else None
    if entry.field == "mac" and not entry.profile:
        return SetLinkMac(entry.link, entry.old) if entry.old else None
    addresses = tuple(entry.old.split(", ")) if entry.old else ()
    match entry.field:
        case "mac":
            return SetProfile(entry.profile, entry.link, mac=entry.old)
        case "ipv4_addresses":
            return SetProfile(entry.profile, entry.link, ipv4_addresses=addresses)
        case "ipv6_addresses":
            return SetProfile(entry.profile, entry.link, ipv6_addresses=addresses)
        case _:
            return None
