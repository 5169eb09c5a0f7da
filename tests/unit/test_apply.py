"""Applying: what a failure stops and what it does not, and that each action is the one touch it is named after."""

from __future__ import annotations

from typing import Any, cast, get_args

import pytest

from nodeprep import plan
from nodeprep.apply import apply, perform
from nodeprep.model import Opening
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
from tests.fakes.touch import Recorder

OPENINGS = (Opening("tcp", 6443, 6443, "API server", "control-plane"),)
CHANGE = SetProfile("u1", "eth0", mac="")

CALLS: list[tuple[Action, str, tuple[object, ...]]] = [
    (WriteFile("/a", b"x", 0o444), "write_file", ("/a", b"x", 0o444)),
    (ReplaceText("/a", "old", "new"), "replace_text", ("/a", "old", "new")),
    (LinkFile("/a", "/b"), "link_file", ("/a", "/b")),
    (SetAside("/a*"), "set_aside", ("/a*",)),
    (RenameFolder("/a", "/b"), "rename_folder", ("/a", "/b")),
    (ReplaceFiles("/a*", "/staging"), "replace_files", ("/a*", "/staging")),
    (RunProgram(("true",), 5.0), "run_program", (("true",), 5.0)),
    (SetHostname("worker-1"), "set_hostname", ("worker-1",)),
    (CHANGE, "set_profile", (CHANGE,)),
    (SetLinkMac("eth0", "02:00:00:00:00:01"), "set_link_mac", ("eth0", "02:00:00:00:00:01")),
    (ApplyOpenings(OPENINGS, "open", "auto"), "apply_openings", (OPENINGS, "open", "auto")),
    (KeepCopy("/a*"), "keep_copy", ("/a*",)),
    (BringBack("run-1", "files/a", "/a"), "bring_back", ("run-1", "files/a", "/a")),
    (Remove("/a*"), "remove", ("/a*",)),
    (HoldUnits(("a.service",)), "hold_units", (("a.service",),)),
    (ReleaseUnits(("a.service",)), "release_units", (("a.service",),)),
    (Reboot("held"), "reboot", ("held",)),
]


@pytest.mark.parametrize(("action", "method", "arguments"), CALLS, ids=[method for _, method, _ in CALLS])
def test_each_action_is_exactly_one_touch(action: Action, method: str, arguments: tuple[object, ...]) -> None:
    touch = Recorder()
    perform(action, touch)
    assert touch.calls == [(method, arguments)]


def test_no_action_and_no_touch_is_left_out_above() -> None:
    assert {type(action) for action, _, _ in CALLS} == set(get_args(Action))
    methods = {name for name in vars(Recorder) if not name.startswith("_")}
    assert {method for _, method, _ in CALLS} == methods - {"about"}


def test_what_is_no_action_is_a_fault_of_the_program() -> None:
    with pytest.raises(AssertionError, match="no such action"):
        perform(cast("Any", object()), Recorder())


def step(subject: str, *actions: Action, after: tuple[str, ...] = ()) -> Step:
    return Step((subject,), actions or (SetAside(f"/{subject}"),), f"why {subject}", after)


def results(outcomes: tuple[Outcome, ...]) -> dict[str, Result]:
    return {outcome.subject: outcome.result for outcome in outcomes}


def test_steps_and_their_actions_are_done_in_order() -> None:
    touch = Recorder()
    outcomes = apply(Plan((step("a", SetAside("/1"), SetAside("/2")), step("b", SetAside("/3")))), touch)
    assert [arguments for _, arguments in touch.calls] == [("/1",), ("/2",), ("/3",)]
    assert outcomes == (Outcome("a", Result.DONE, "why a"), Outcome("b", Result.DONE, "why b"))


def test_what_a_step_is_about_is_said_before_its_actions_for_the_attics_manifest() -> None:
    touch = Recorder()
    apply(Plan((step("a"), Step(("b", "c"), (SetAside("/1"),), "both"), step("d", after=("nobody",)))), touch)
    assert touch.subjects == [("a",), ("b", "c"), ("d",)]


def test_a_failed_step_goes_no_further() -> None:
    touch = Recorder("run_program")
    apply(Plan((step("a", SetAside("/1"), RunProgram(("false",)), SetAside("/2")),)), touch)
    assert [arguments for _, arguments in touch.calls] == [("/1",)]


def test_dependents_of_a_failed_step_are_skipped_with_the_reason_and_siblings_go_on() -> None:
    touch = Recorder("run_program")
    outcomes = apply(
        Plan(
            (
                step("root", RunProgram(("false",))),
                step("sibling"),
                step("child", after=("root",)),
                step("grandchild", after=("sibling", "child")),
                step("cousin", after=("sibling",)),
            )
        ),
        touch,
    )
    assert results(outcomes) == {
        "root": Result.FAILED,
        "sibling": Result.DONE,
        "child": Result.SKIPPED,
        "grandchild": Result.SKIPPED,
        "cousin": Result.DONE,
    }
    details = {outcome.subject: outcome.detail for outcome in outcomes}
    assert details["root"] == "run_program is refused"
    assert details["child"] == "root failed before it"
    assert details["grandchild"] == "child failed before it"
    assert touch.calls == [("set_aside", ("/sibling",)), ("set_aside", ("/cousin",))]


def test_what_a_step_depends_on_and_nobody_planned_does_not_stop_it() -> None:
    assert results(apply(Plan((step("a", after=("unplanned",)),)), Recorder())) == {"a": Result.DONE}


def test_a_step_for_several_subjects_fails_them_all() -> None:
    merged = Step(("mac", "ipv4-address"), (CHANGE,), "both")
    outcomes = apply(Plan((merged, step("child", after=("ipv4-address",)))), Recorder("set_profile"))
    assert results(outcomes) == {"mac": Result.FAILED, "ipv4-address": Result.FAILED, "child": Result.SKIPPED}


def test_a_fault_of_the_program_is_not_taken_for_one_of_the_machine() -> None:
    class Faulty(Recorder):
        def set_aside(self, pattern: str) -> None:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        apply(Plan((step("a"),)), Faulty())


def test_an_empty_plan() -> None:
    assert apply(Plan(), Recorder()) == ()


def test_booting_again_is_asked_for_once() -> None:
    touch = Recorder()
    apply(plan.reboot("held"), touch)
    assert touch.calls == [("reboot", ("held",))]
