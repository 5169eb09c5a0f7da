"""Applying: the only writer. Reading `perform` is reading everything that nodeprep can do to a machine."""

from __future__ import annotations

from typing import NoReturn

from nodeprep.errors import HostError
from nodeprep.machine import MachineTouch
from nodeprep.steps import (
    Action,
    ApplyOpenings,
    BringBack,
    HoldUnits,
    KeepCopy,
    LinkFile,
    Outcome,
    Plan,
    Reboot,
    ReleaseUnits,
    Remove,
    RenameFolder,
    ReplaceFiles,
    ReplaceText,
    Result,
    RunProgram,
    SetAside,
    SetHostname,
    SetLinkMac,
    SetProfile,
    Step,
    WriteFile,
)


def apply(plan: Plan, touch: MachineTouch) -> tuple[Outcome, ...]:
    """Apply the steps in order and return what became of each subject.

    A step that fails fails its subjects; the steps that depend on them are skipped; the others go on.
    """
    outcomes: list[Outcome] = []
    failed: set[str] = set()
    for step in plan.steps:
        outcome = _attempt(step, touch, failed)
        outcomes += [Outcome(subject, outcome.result, outcome.detail) for subject in step.subjects]
        if outcome.result is not Result.DONE:
            failed.update(step.subjects)
    return tuple(outcomes)


def _attempt(step: Step, touch: MachineTouch, failed: set[str]) -> Outcome:
    subject = step.subjects[0]
    if broken := failed.intersection(step.after):
        return Outcome(subject, Result.SKIPPED, f"{', '.join(sorted(broken))} failed before it")
    touch.about(step.subjects)
    try:
        for action in step.actions:
            perform(action, touch)
    except HostError as error:
        return Outcome(subject, Result.FAILED, str(error))
    return Outcome(subject, Result.DONE, step.reason)


def perform(action: Action, touch: MachineTouch) -> None:
    """Do one thing to the machine. Raises HostError."""
    match action:
        case WriteFile(path, content, mode):
            touch.write_file(path, content, mode)
        case ReplaceText(path, old, new):
            touch.replace_text(path, old, new)
        case LinkFile(path, target):
            touch.link_file(path, target)
        case SetAside(pattern):
            touch.set_aside(pattern)
        case RenameFolder(path, new_path):
            touch.rename_folder(path, new_path)
        case ReplaceFiles(pattern, staging):
            touch.replace_files(pattern, staging)
        case RunProgram(argv, timeout_s):
            touch.run_program(argv, timeout_s)
        case SetHostname(hostname):
            touch.set_hostname(hostname)
        case SetProfile():
            touch.set_profile(action)
        case SetLinkMac(link, mac):
            touch.set_link_mac(link, mac)
        case ApplyOpenings(openings, mode, backend):
            touch.apply_openings(openings, mode, backend)
        case KeepCopy(pattern):
            touch.keep_copy(pattern)
        case BringBack(run, kept, path):
            touch.bring_back(run, kept, path)
        case Remove(pattern):
            touch.remove(pattern)
        case HoldUnits(units):
            touch.hold_units(units)
        case ReleaseUnits(units):
            touch.release_units(units)
        case Reboot(reason):
            touch.reboot(reason)
        case _:
            _never(action)


def _never(action: NoReturn) -> NoReturn:
    """Let the type checker prove that the match is exhaustive (typing.assert_never is newer than our floor)."""
    raise AssertionError(f"no such action: {action!r}")
