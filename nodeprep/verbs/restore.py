"""`nodeprep restore`: bring back what one run replaced, and say what has to follow."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack

from nodeprep.apply import apply
from nodeprep.artefacts import catalogue
from nodeprep.errors import HostError, NodeprepError
from nodeprep.history import RestoreError, foresee
from nodeprep.host import attic, programs
from nodeprep.host.bus import Bus
from nodeprep.host.live import Live
from nodeprep.host.local import LocalMachine
from nodeprep.steps import Outcome, Result, SetHostname, SetLinkMac, SetProfile
from nodeprep.verbs import Typed


def main(typed: Typed) -> int:
    """Bring back what a run kept; exit code 1 where not all of it came. Raises NodeprepError."""
    run, *names = typed.operands
    try:
        outcomes, skipped, undo = asyncio.run(restore(run, names))
    except OSError as error:
        raise HostError(f"{error.filename or attic.ATTIC}: {error.strerror}") from error
    following = follows(outcomes, undo)
    if typed.as_json:
        rows = [{"artefact": o.subject, "result": o.result.value, "detail": o.detail} for o in outcomes]
        document = {"schema": 1, "outcomes": rows, "skipped": list(skipped), "undo": undo, "follows": following}
        print(json.dumps(document, indent=2))
    else:
        for line in skipped:
            print(f"  - {line}")
        for outcome in outcomes:
            failed = "" if outcome.result is Result.DONE else f": {outcome.result.value}: {outcome.detail}"
            print(f"  {'! ' if failed else ''}{outcome.subject}{failed or ' is back'}")
        print("".join(f"{line}\n" for line in following), end="")
    return 0 if all(outcome.result is Result.DONE for outcome in outcomes) else 1


async def restore(run: str, names: Sequence[str]) -> tuple[Collection[Outcome], tuple[str, ...], str]:
    """Bring it back; return what became of each artefact, what was left out, and the run that takes this back.

    Raises NodeprepError, OSError.
    """
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
    return outcomes, skipped, undo


def _unused(name: str) -> str:
    """Return a name that no run has: two that are typed within a second are two."""
    number, wanted = 2, name
    while name in attic.runs():
        name, number = f"{wanted}-{number}", number + 1
    return name


def follows(outcomes: Collection[Outcome], undo: str) -> list[str]:
    """Return what an operator should know and do now."""
    done = [outcome.subject for outcome in outcomes if outcome.result is Result.DONE]
    artefacts = [artefact for artefact in catalogue() if artefact.name in done]
    lines = []
    if done:
        lines.append(f"What was there before lies in {undo}: `nodeprep restore {undo}` takes this back.")
    if presented := [artefact.title for artefact in artefacts if artefact.claim]:
        lines.append(
            f"Warning: {', '.join(presented)}: a live machine that has the same contests it; see `nodeprep status`."
        )
    units = frozenset(unit for artefact in artefacts for unit in (*artefact.idle, *artefact.restart))
    if "machine-id" in done:
        lines.append("Reboot this machine: until then everything that runs holds the other machine ID.")
    elif running := sorted(programs.active_units(units)):
        lines.append(f"These still hold the other values: `systemctl restart {' '.join(running)}`.")
    return lines
