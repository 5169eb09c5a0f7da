"""`nodeprep report`: all that a bug report needs, and none of what would let another machine pass for this one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nodeprep import cli, fleetkey, preview
from nodeprep.artefacts import catalogue
from nodeprep.errors import HostError
from nodeprep.host import attic, programs
from nodeprep.host.local import LocalMachine
from nodeprep.redaction import SHORTEST
from nodeprep.verbs import document
from tests.fakes import disk

KEY = "5e" * 32


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalMachine:
    """Return a machine that has everything, whose programs tell all that is confidential on it."""
    disk.make_everything(tmp_path)
    disk.put(tmp_path, fleetkey.PATH, f"{KEY}\n".encode(), 0o600)
    seen = LocalMachine("report", str(tmp_path))

    async def view() -> LocalMachine:
        return seen

    def run(argv: tuple[str, ...], timeout_s: float) -> str:
        if argv[0] == "systemd-detect-virt":
            raise HostError("systemd-detect-virt: exit 1: none")
        return f"{' '.join(argv)}: {KEY} {' '.join(confidential(seen))}\n"

    monkeypatch.setattr(preview, "view", view)
    monkeypatch.setattr(programs, "run", run)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(attic, "ATTIC", str(tmp_path / "attic"))
    monkeypatch.setattr(document, "STATUS_FILE", str(tmp_path / "status.json"))
    (tmp_path / "status.json").write_text(json.dumps({"state": "ready", "oops": confidential(seen)}))
    return seen


def confidential(machine: LocalMachine) -> list[str]:
    readings = [artefact.observe(machine) for artefact in catalogue() if artefact.confidential]
    values = {value for reading in readings if isinstance(reading, frozenset) for value in reading}
    return sorted(value for value in values if len(value) >= SHORTEST)


def test_nothing_confidential_is_in_it_and_all_the_parts_are(
    machine: LocalMachine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["report"]) == 0
    told = capsys.readouterr().out
    values = confidential(machine)
    assert len(values) > 10
    assert [value for value in (KEY, *values) if value.lower() in told.lower()] == []
    assert "[machine-id " in told and "[fleet key " in told
    for part in ("status", "configuration", "plan", "history", "uname -srvm", "journalctl --boot"):
        assert f"\n== {part}" in told, part


def test_a_part_that_cannot_be_had_says_why_and_takes_no_other_with_it(
    machine: LocalMachine, capsys: pytest.CaptureFixture[str]
) -> None:
    disk.put(Path(machine.real("")), "/etc/nodeprep/nodeprep.toml", b"[")
    assert cli.run(["report", "--json"]) == 0
    parts = {part["name"]: part["text"] for part in json.loads(capsys.readouterr().out)["parts"]}
    assert parts["systemd-detect-virt"] == "could not be had: systemd-detect-virt: exit 1: none"
    assert "/etc/nodeprep/nodeprep.toml" in parts["configuration"]
    assert "could not be had" in parts["plan"]
    assert parts["uname -srvm"].startswith("uname -srvm: ")
