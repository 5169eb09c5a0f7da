"""`nodeprep seal`: the template's side of the command line. Every decision is in `seal` and `lint`."""

from __future__ import annotations

import json
import os
import secrets
import sys
import time
from dataclasses import dataclass

from nodeprep import lint, seal
from nodeprep.apply import apply
from nodeprep.artefacts import catalogue
from nodeprep.host import image, programs
from nodeprep.host.image import Image
from nodeprep.messages import BY_CODE
from nodeprep.model import Artefact
from nodeprep.observe import joined
from nodeprep.report import Problem
from nodeprep.run import BAKED_OFFLINE
from nodeprep.steps import Outcome, Plan, Result
from nodeprep.verbs import Typed, UsageError
from nodeprep.wording import line

EXIT_OK, EXIT_FOUND = 0, 1


@dataclass(frozen=True, slots=True)
class Request:
    """What was typed."""

    flags: frozenset[str] = frozenset()
    root: str = ""

    def __contains__(self, flag: str) -> bool:
        return flag in self.flags


def request_of(typed: Typed) -> Request:
    """Return the request. Raises UsageError where its parts do not go together."""
    flags, root = typed.options.keys() - {"--root"}, typed.value("--root")
    alone = {"--check": {"--json"}, "--mark": set[str]()}
    for flag, company in alone.items():
        if flag in flags and flags - {flag} - company:
            raise UsageError(f"seal: {flag} goes with no {', '.join(sorted(flags - {flag} - company))}")
    if root and "--poweroff" in flags:
        raise UsageError("seal: --poweroff is for the running template, not for --root")
    return Request(frozenset(flags), root)


def main(typed: Typed) -> int:
    """Do what was asked, on the running system or on an image. Raises UsageError, NodeprepError."""
    return carry_out(request_of(typed))


def carry_out(request: Request) -> int:
    """Check, mark or seal, and return the exit code. Raises NodeprepError."""
    if request.root and (refusal := image.refusal(request.root)):
        return _refused(refusal)
    artefacts = catalogue()  # read in before the image is entered
    runs = not request.root and image.runs()
    if request.root:
        sys.stdout.flush()
        image.enter(os.path.abspath(request.root))
    machine = Image(runs=runs)
    if "--check" in request:
        return check(artefacts, machine, request)
    if "--mark" in request:
        return mark(artefacts, machine)
    return seal_it(artefacts, machine, request, runs=runs)


def check(artefacts: tuple[Artefact, ...], machine: Image, request: Request) -> int:
    """Say what is still baked in."""
    found = lint.lint(artefacts, machine)
    summary = f"{len(found)} finding{'s'[: len(found) != 1]}" if found else "nothing that clones would share"
    if "--json" in request:
        state = "findings" if found else "clean"
        document = {"schema": 1, "state": state, "summary": summary, "findings": _rows(found, request)}
        print(json.dumps(document, indent=2))
    else:
        print(f"{'not clean' if found else 'clean'}: {summary}{f' in {request.root}' if request.root else ''}")
        print(render(found, request), end="")
    return EXIT_FOUND if found else EXIT_OK


def _rows(found: tuple[Problem, ...], request: Request) -> list[dict[str, str]]:
    return [{**row._asdict(), "title": BY_CODE[row.code].title, "remedy": remedy(row, request)} for row in found]


def render(found: tuple[Problem, ...], request: Request) -> str:
    """Return findings as a person reads them: aligned, each with its remedy below, where that is another one."""
    width = max((len(row.code) for row in found), default=0)
    lines = []
    for number, row in enumerate(found):
        where = f"{row.subject}: " if row.subject.startswith("/") else ""
        lines.append(f"  {row.code:<{width}}  {where}{row.detail}")
        following = found[number + 1] if number + 1 < len(found) else None
        if following is None or remedy(following, request) != remedy(row, request):
            lines.append(f"  {'':<{width}}  -> {remedy(row, request)}")
    return "\n".join((*lines, ""))


def remedy(row: Problem, request: Request) -> str:
    """Return what mends a finding, in the words that fit this image."""
    text = row.remedy or BY_CODE[row.code].remedy
    return text.replace("nodeprep seal", f"nodeprep seal --root {request.root}") if request.root else text


def _would_do(steps: Plan, machine: Image, request: Request) -> int:
    """Show the whole plan."""
    whole, machine_id = Plan((*steps.steps, *seal.commit("DATE").steps)), _machine_id(machine)
    if "--json" in request:
        rows = [
            {
                "subjects": list(step.subjects),
                "reason": step.reason,
                "actions": [_veiled(line(action), machine_id) for action in step.actions],
            }
            for step in whole.steps
        ]
        print(json.dumps({"schema": 1, "state": "dry-run", "steps": rows}, indent=2))
    else:
        print(f"{len(whole.steps)} steps; nothing was done")
        print(show(whole, machine_id), end="")
    return EXIT_OK


def mark(artefacts: tuple[Artefact, ...], machine: Image) -> int:
    """Make the next boot a first boot, and leave all else as it is."""
    if members := joined(artefacts, machine):
        return _refused(f"a member of a cluster is no template ({', '.join(members)}); nothing was marked")
    outcomes = apply(seal.mark(_now()), machine)
    return _failed(outcomes) if _unfinished(outcomes) else EXIT_OK


def seal_it(artefacts: tuple[Artefact, ...], machine: Image, request: Request, *, runs: bool) -> int:
    """Seal, or show how."""
    members = joined(artefacts, machine)
    if members and "--reset-joined" not in request:
        return _refused(
            f"the image is a member of a cluster ({', '.join(members)}): reset it there first, "
            "or take the membership out of the image with --reset-joined"
        )
    if runs and (running := programs.active_units(seal.MEMBERS)):
        names = " ".join(sorted(running))
        return _refused(f"{names} runs, and would write while the image is sealed: `systemctl stop {names}`")
    began = time.monotonic()
    writing = programs.active_units(seal.writers(artefacts)) if runs else None
    fleet_key = None if "--keep-fleet-key" in request else secrets.token_hex(32)
    # What cannot be read is told before anything is stopped.
    steps = seal.plan(artefacts, machine, fleet_key=fleet_key, active_units=writing)
    if "--dry-run" in request:
        return _would_do(steps, machine, request)
    if writing is not None:
        outcomes = apply(Plan((seal.stop(writing),)), machine)
        if _unfinished(outcomes):
            return _failed(outcomes)
        steps = seal.plan(artefacts, machine, fleet_key=fleet_key)  # with what was written at the stop
    outcomes = apply(steps, machine)
    if _unfinished(outcomes):
        return _failed(outcomes)
    sealable = {artefact.name for artefact in artefacts if artefact.seal}
    left = tuple(r for r in lint.baked_in(artefacts, machine) if r.subject in sealable and r.code != "unreadable")
    if left:
        print("nodeprep: not sealed: after all was done this is still there", file=sys.stderr)
        print(render(left, request), end="", file=sys.stderr)
        return EXIT_FOUND
    outcomes = apply(seal.commit(_now()), machine)
    if _unfinished(outcomes):
        return _failed(outcomes)
    found = lint.lint(artefacts, machine)
    if "--json" in request:
        print(json.dumps({"schema": 1, "state": "sealed", "findings": _rows(found, request)}, indent=2))
    else:
        print(f"sealed: what boots from it next takes an identity of its own ({time.monotonic() - began:.1f} s)")
        print(f"  what sealing leaves to you:\n{render(found, request)}" if found else "", end="")
    if "--poweroff" in request:
        sys.stdout.flush()
        machine.run_program(("systemctl", "--no-block", "poweroff"), 30)
    elif runs and "--json" not in request:
        print("  power off now: `systemctl poweroff`. This session stays; sshd has no keys for another one.")
    return EXIT_OK


def show(steps: Plan, machine_id: str) -> str:
    """Return the steps as a person reads them, without what is confidential."""
    lines = []
    for step in steps.steps:
        lines += ["", f"{', '.join(step.subjects)}  ({step.reason})"]
        lines += [f"  {line(action)}" for action in step.actions]
    return _veiled("\n".join((*lines, "")), machine_id)


def _veiled(text: str, machine_id: str) -> str:
    return text.replace(machine_id, "MACHINE-ID") if machine_id else text


def _machine_id(machine: Image) -> str:
    return (machine.read_text(lint.MACHINE_ID) or "").strip()


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _unfinished(outcomes: tuple[Outcome, ...]) -> list[Outcome]:
    return [outcome for outcome in outcomes if outcome.result is not Result.DONE]


def _failed(outcomes: tuple[Outcome, ...]) -> int:
    """Say what could not be done. What boots now is a first boot all the same, if the mark could be written."""
    print(f"nodeprep: not sealed; see {BAKED_OFFLINE}, and seal again", file=sys.stderr)
    for outcome in _unfinished(outcomes):
        print(f"  {outcome.subject}: {outcome.result.value}: {outcome.detail}", file=sys.stderr)
    return EXIT_FOUND


def _refused(why: str) -> int:
    print(f"nodeprep: {why}", file=sys.stderr)
    return EXIT_FOUND
