"""This machine: what the early run sees of it, and what only the managers of a running system can do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from nodeprep.errors import HostError
from nodeprep.host import programs
from nodeprep.host.local import LocalMachine
from nodeprep.model import Link
from nodeprep.steps import SetProfile
from tests.fakes.disk import put


@pytest.mark.parametrize(
    ("text", "name"),
    [("worker-1\n", "worker-1"), ("# ours\n\n worker-1 \nother\n", "worker-1"), ("", ""), ("# none\n", ""), (None, "")],
)
def test_the_hostname_of_the_file(tmp_path: Path, text: str | None, name: str) -> None:
    if text is not None:
        put(tmp_path, "/etc/hostname", text.encode())
    assert LocalMachine("test", str(tmp_path)).hostname() == name


@pytest.mark.parametrize("name", ["worker-1", ""])
def test_what_hostnamed_says_beats_the_file(tmp_path: Path, name: str) -> None:
    put(tmp_path, "/etc/hostname", b"file\n")
    assert LocalMachine("test", str(tmp_path), hostname=name).hostname() == name


def test_links_are_what_was_asked_before() -> None:
    link = Link("eth0", 2, "02:00:00:00:00:01", None, True)
    assert LocalMachine("test", links=(link,)).links() == (link,)
    assert LocalMachine("test").links() == ()
    assert LocalMachine("test").profiles() == ()


def test_before_the_bus_is_there_its_services_cannot_be_asked() -> None:
    machine = LocalMachine("test")
    touches: list[Callable[[], None]] = [
        lambda: machine.set_hostname("a"),
        lambda: machine.set_profile(SetProfile("u", "eth0")),
        lambda: machine.set_link_mac("eth0", "02:00:00:00:00:01"),
        lambda: machine.apply_openings((), "open", "auto"),
    ]
    for touch in touches:
        with pytest.raises(HostError, match="not there yet"):
            touch()


def test_a_program_gets_our_folder_below_the_root(tmp_path: Path) -> None:
    machine = LocalMachine("test", str(tmp_path))
    staging = machine.make_staging()
    machine.run_program(("touch", f"{staging}/made"), 10)
    assert (tmp_path / "var/lib/nodeprep/staging/made").exists()


def test_a_program_gives_its_output() -> None:
    assert programs.run(("echo", "a b"), 10) == "a b\n"


def test_a_program_that_fails_is_quoted() -> None:
    with pytest.raises(HostError, match="exit 3: last words"):
        programs.run(("sh", "-c", "echo first >&2; echo last words >&2; exit 3"), 10)


def test_a_program_that_fails_without_a_word() -> None:
    with pytest.raises(HostError, match="exit 1: no message"):
        programs.run(("false",), 10)


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(HostError, match="no-such-program"):
        programs.run(("no-such-program",), 10)


def test_a_program_that_takes_too_long() -> None:
    with pytest.raises(HostError, match="timed out"):
        programs.run(("sleep", "10"), 0.05)


def test_a_program_reads_nothing_and_inherits_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "s")
    assert programs.run(("sh", "-c", "cat; echo ${SECRET:-none} $LC_ALL"), 10) == "none C.UTF-8\n"
