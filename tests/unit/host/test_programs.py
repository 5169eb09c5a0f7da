"""Programs: what systemctl's words are taken for."""

from __future__ import annotations

import subprocess

import pytest

from nodeprep.host import programs

SAID = """\
ActiveState=active
Job=

ActiveState=activating
Job=42

ActiveState=inactive
Job=43

ActiveState=inactive
Job=

ActiveState=failed
Job=
"""


def test_what_runs_and_what_is_being_started_or_has_a_job_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    def systemctl(argv: tuple[str, ...], **_: object) -> subprocess.CompletedProcess[str]:
        assert argv[-5:] == ("a", "b", "c", "d", "e")
        return subprocess.CompletedProcess(argv, 0, SAID, "")

    monkeypatch.setattr(subprocess, "run", systemctl)
    assert programs.active_and_starting_units(frozenset("abcde")) == (frozenset("a"), frozenset("bc"))


def test_nothing_runs_or_starts_where_systemctl_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(argv: tuple[str, ...], **_: object) -> subprocess.CompletedProcess[str]:
        raise FileNotFoundError

    monkeypatch.setattr(subprocess, "run", refuse)
    assert programs.active_and_starting_units(frozenset({"a"})) == (frozenset(), frozenset())
