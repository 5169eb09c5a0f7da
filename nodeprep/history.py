"""`nodeprep history` and `nodeprep restore`: what the attic holds, and how it comes back.

Bringing back is a plan like any other: made from a run's manifest, seen to be possible as a whole, then applied. What
it replaces goes into a run of its own, so that it can be taken back.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AsyncExitStack

from nodeprep import renewal
from nodeprep.apply import apply
from nodeprep.artefacts import catalogue
from nodeprep.errors import NodeprepError
from nodeprep.host import attic, programs
from nodeprep.host.attic import Entry
from nodeprep.host.bus import Bus
from nodeprep.host.live import Live
from nodeprep.host.local import LocalMachine
from nodeprep.reading import literal
from nodeprep.stamp import fingerprint
from nodeprep.steps import (
    Action,
    BringBack,
    Outcome,
    Plan,
    RenameFolder,
    Result,
    SetAside,
    SetHostname,
    SetLinkMac,
    SetProfile,
    Step,
)

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


# nodeprep history


def history(*, as_json: bool) -> int:
    """Print the runs of the attic, the newest first; exit code 1 where it cannot be read."""
    if not _is_root("history"):
        return 1
    try:
        found = [_document(run) for run in reversed(attic.runs())]
    except OSError as error:
        return _failed(f"{error.filename or attic.ATTIC}: {error.strerror}")
    if as_json:
        print(json.dumps({"schema": 1, "runs": found}, indent=2))
    else:
        print("\n".join(map(_render, found)) or "nothing was replaced on this machine", flush=True)
    return 0


def _document(run: str) -> dict[str, object]:
    entries = attic.manifest(run)
    begun = next((entry for entry in entries if entry.what == "begun"), Entry("begun"))
    return {
        "run": run,
        "time": begun.old,
        "reason": begun.new,
        "size_bytes": attic.size(f"{attic.ATTIC}/{run}")[0],
        "artefacts": sorted({subject for entry in entries for subject in subjects(entry)}),
        "entries": [
            {
                "what": entry.what,
                "artefacts": list(subjects(entry)),
                "path": entry.path,
                "old": entry.old,
                "new": entry.new,
                "mode": f"{entry.mode:04o}" if entry.owner else "",
                "owner": list(entry.owner),
                "kept": attic.is_kept(run, entry),
            }
            for entry in entries
            if entry.what != "begun"
        ],
    }


def _render(run: dict[str, object]) -> str:
    size = run["size_bytes"]
    assert isinstance(size, int)
    lines = [f"{run['run']}  {run['time']}  {size / 1024:.0f} KiB", f"  {run['reason'] or 'no reason was noted'}"]
    entries = run["entries"]
    assert isinstance(entries, list)
    for entry in entries:
        change = f"{entry['old'] or '-'} -> {entry['new'] or '-'}" if entry["what"] == "changed" else entry["path"]
        if entry["what"] == "renamed":
            change = f"{entry['path']} -> {entry['new']}"
        lines.append(f"  {', '.join(entry['artefacts']):<24} {entry['what']:<12} {veil(change)}")
    return "\n".join(lines) + "\n"


def subjects(entry: Entry) -> tuple[str, ...]:
    """Return the artefacts that an entry is of: of what a manager changed in one go, the one that it changed."""
    return (OF_FIELD[entry.field],) if entry.field in OF_FIELD else entry.subjects


def veil(text: str) -> str:
    """Return a text with short fingerprints for machine IDs (machine-id(5)), as the status shows them."""
    return re.sub("[0-9a-f]{32}", lambda found: f"[{fingerprint('machine-id', found[0])[:8]}]", text)


# nodeprep restore


def restore(run: str, names: Sequence[str]) -> int:
    """Bring back what a run kept, of all artefacts or of these; exit code 1 where nothing, or not all, was."""
    if not _is_root("restore"):
        return 1
    try:
        return asyncio.run(_restore(run, names))
    except OSError as error:
        return _failed(f"{error.filename or attic.ATTIC}: {error.strerror}")
    except NodeprepError as error:
        return _failed(str(error))


async def _restore(run: str, names: Sequence[str]) -> int:
    steps, skipped = foresee(run, names, LocalMachine("restore"))
    async with AsyncExitStack() as open_until_done:
        undo = _unused(attic.name_now("-restore"))
        try:
            machine = await Live(await open_until_done.enter_async_context(Bus())).view(undo)
        except NodeprepError as error:
            if any(
                isinstance(action, SetHostname | SetProfile | SetLinkMac) for s in steps.steps for action in s.actions
            ):
                raise RestoreError(f"the services that set hostnames and links do not answer: {error}") from error
            machine = LocalMachine(undo)
        machine.prepare(steps, f"nodeprep restore {' '.join((run, *names))}")
        outcomes = await asyncio.to_thread(apply, steps, machine)
    for line in skipped:
        print(f"  - {line}")
    return _tell(outcomes, undo)


def _unused(name: str) -> str:
    """Return a name that no run has: two that are typed within a second are two."""
    number, wanted = 2, name
    while name in attic.runs():
        name, number = f"{wanted}-{number}", number + 1
    return name


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
    skipped = [f"{name} is left as it is: name it to bring it back" for name in known if name not in wanted]
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


def _tell(outcomes: Collection[Outcome], undo: str) -> int:
    """Say what came back, and what has to follow; return the exit code."""
    done = [outcome.subject for outcome in outcomes if outcome.result is Result.DONE]
    for outcome in outcomes:
        failed = "" if outcome.result is Result.DONE else f": {outcome.result.value}: {outcome.detail}"
        print(f"  {'! ' if failed else ''}{outcome.subject}{failed or ' is back'}")
    artefacts = [artefact for artefact in catalogue() if artefact.name in done]
    if done:
        print(f"What was there before lies in {undo}: `nodeprep restore {undo}` takes this back.")
    if presented := [artefact.title for artefact in artefacts if artefact.claim]:
        print(f"Warning: {', '.join(presented)}: a live machine that has the same contests it now (see the status).")
    units = frozenset(unit for artefact in artefacts for unit in (*artefact.idle, *artefact.restart))
    if "machine-id" in done:
        print("Reboot this machine: until then everything that runs holds the other machine ID.")
    elif running := sorted(programs.active_units(units)):
        print(f"These still hold the other values: `systemctl restart {' '.join(running)}`.")
    return 0 if len(done) == len(outcomes) else 1


def _is_root(verb: str) -> bool:
    if os.geteuid() == 0:
        return True
    print(f"nodeprep: only root may look into the attic: run {verb} as root", file=sys.stderr)
    return False


def _failed(why: str) -> int:
    print(f"nodeprep: {why}", file=sys.stderr)
    return 1
