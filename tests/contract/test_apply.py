"""`nodeprep apply`: the service is started anew, waited for, and its verdict shown."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from nodeprep import cli
from nodeprep.verbs import document
from tests.unit.test_cli import DOCUMENT


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a program in the place of systemctl, which is still to be written, on a node that is held."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(document, "STATUS_FILE", str(tmp_path / "status.json"))
    monkeypatch.setattr(document, "DISABLED_FILE", str(tmp_path / "disabled"))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    (tmp_path / "status.json").write_text(json.dumps(DOCUMENT))
    return tmp_path / "systemctl"


def put(program: Path, script: str) -> None:
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


@pytest.mark.parametrize(("state", "code"), [("ready", 0), ("held", 1), ("degraded", 2)])
def test_what_came_of_it_is_the_status_and_its_exit_code(
    systemctl: Path, capsys: pytest.CaptureFixture[str], state: str, code: int
) -> None:
    new = json.dumps(DOCUMENT | {"state": state})
    forgets, writes = "[ $1 = reset-failed ] && exit 1", f"cat > {systemctl.parent}/status.json << E\n{new}\nE"
    put(systemctl, f'{forgets}; [ "$*" = "restart nodeprep.service" ] && {writes}')
    assert cli.run(["apply"]) == code
    assert capsys.readouterr().out.startswith(f"{state}: ")


def test_systemctls_own_words_are_passed_on(systemctl: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(systemctl, "[ $1 = reset-failed ] && exit 0; echo 'Job for nodeprep.service failed.' >&2; exit 1")
    assert cli.run(["apply"]) == 1
    told = capsys.readouterr()
    assert (told.out, told.err) == (
        "", "nodeprep: systemctl restart nodeprep.service: Job for nodeprep.service failed.\n"
    )  # fmt: skip


def test_on_a_node_that_is_disabled_nothing_is_started(systemctl: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(systemctl, f"touch {systemctl.parent}/started")
    (systemctl.parent / "disabled").touch()
    assert cli.run(["apply"]) == 4
    assert not (systemctl.parent / "started").exists()
    assert "disabled by" in capsys.readouterr().out
