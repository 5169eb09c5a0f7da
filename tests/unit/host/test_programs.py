"""Programs: what systemctl's words are taken for."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

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


LISTED = """\
a loaded active       running A
b loaded activating   start   start B
c loaded inactive     dead    start C
d loaded inactive     dead    D
e loaded failed       failed  E
"""


def systemctl(listed: str) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a systemctl that lists these, and knows "f" as another name of a unit that runs."""
    states = dict(zip("abcde", SAID.strip().split("\n\n"), strict=True)) | {"f": "ActiveState=active\nJob="}

    def run(argv: tuple[str, ...], **_: object) -> subprocess.CompletedProcess[str]:
        if argv[1] == "list-units":
            return subprocess.CompletedProcess(argv, 0, listed, "")
        units = argv[argv.index("--") + 1 :]
        return subprocess.CompletedProcess(argv, 0, "\n\n".join(states[unit] for unit in units) + "\n", "")

    return run


def test_what_runs_and_what_is_being_started_or_has_a_job_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", systemctl(LISTED))
    assert programs.active_and_starting_units(frozenset("abcde")) == (frozenset("a"), frozenset("bc"))


def test_a_unit_that_is_not_loaded_is_not_asked_for_unless_it_may_be_another_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "f").symlink_to("a")
    (tmp_path / "g").write_text("[Service]\n")
    monkeypatch.setattr(programs, "ALIASES", (str(tmp_path / "nowhere"), str(tmp_path)))
    monkeypatch.setattr(subprocess, "run", systemctl("a loaded active running A\n"))
    assert programs.active_and_starting_units(frozenset("acfg")) == (frozenset("af"), frozenset())
    monkeypatch.setattr(subprocess, "run", systemctl(""))
    assert programs.active_and_starting_units(frozenset("cg")) == (frozenset(), frozenset())


def test_nothing_runs_or_starts_where_systemctl_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(argv: tuple[str, ...], **_: object) -> subprocess.CompletedProcess[str]:
        raise FileNotFoundError

    monkeypatch.setattr(subprocess, "run", refuse)
    assert programs.active_and_starting_units(frozenset({"a"})) == (frozenset(), frozenset())
