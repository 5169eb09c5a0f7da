"""`nodeprep key`: a rotation on a fleet of folders, what is refused on the way, and what is never shown."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from nodeprep import cli, config, fleetkey, report
from nodeprep.errors import ConfigError, NodeprepError
from nodeprep.host import programs
from nodeprep.host.local import LocalMachine
from nodeprep.peers.message import key_id
from nodeprep.verbs import VERBS, key
from nodeprep.verbs.key import request_of, rotate
from tests.fakes.disk import put

OLD, NEW, THIRD = bytes(range(32)), bytes(range(32, 64)), bytes(range(64, 96))
OLD_ID, NEW_ID = key_id(OLD), key_id(NEW)


@pytest.fixture(autouse=True)
def no_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "active_units", lambda units: frozenset())


def node(root: Path, *keys: bytes) -> LocalMachine:
    put(root, fleetkey.PATH, "".join(f"{each.hex()}\n" for each in keys).encode(), 0o600)
    return LocalMachine("test", root=str(root))


def told(root: Path, peers: list[dict[str, Any]], keys: tuple[str, ...] = (OLD_ID,)) -> None:
    document = {"peers": {"keys": list(keys), "list": peers}}
    put(root, report.STATUS_FILE, json.dumps(document).encode())


def step(machine: LocalMachine, *arguments: str) -> tuple[bytes, ...]:
    """Make a step as it is typed; return the keys afterwards."""
    request = request_of(VERBS["key"].parse(["rotate", *arguments]))
    ids = rotate(machine, fleetkey.fleet_keys(machine), request)
    keys = fleetkey.fleet_keys(machine)
    assert ids == [key_id(each) for each in keys]
    return keys


def test_a_fleet_changes_its_key_step_by_step_and_no_step_hurts_when_it_is_repeated(tmp_path: Path) -> None:
    nodes = [node(tmp_path / name, OLD) for name in ("a", "b", "c")]
    _, new = step(nodes[0], "--add")
    spread = nodes[0].real(fleetkey.PATH)
    for _ in range(2):
        for each in nodes:
            assert step(each, "--add", "--from", spread) == (OLD, new)
    for _ in range(2):
        for each in nodes:
            assert step(each, "--switch", key_id(new)) == (new, OLD)
    for _ in range(2):
        for each in nodes:
            assert step(each, "--finish", key_id(new)) == (new,)
    assert (tmp_path / "a" / fleetkey.PATH[1:]).stat().st_mode & 0o777 == 0o600


def test_a_node_that_comes_late_takes_what_it_lacks_whatever_step_the_fleet_is_at(tmp_path: Path) -> None:
    for number, fleet in enumerate(((OLD, NEW), (NEW, OLD), (NEW,))):
        source = node(tmp_path / f"fleet-{number}", *fleet).real(fleetkey.PATH)
        assert step(node(tmp_path / f"late-{number}", OLD), "--add", "--from", source) == (OLD, NEW)
        keyless = LocalMachine("test", root=str(tmp_path / f"keyless-{number}"))
        put(tmp_path / f"keyless-{number}", "/etc/nodeprep/nodeprep.toml", b"")
        assert step(keyless, "--add", "--from", source) == fleet


def test_a_change_that_was_only_begun_is_taken_back(tmp_path: Path) -> None:
    assert step(node(tmp_path, OLD, NEW), "--finish", OLD_ID) == (OLD,)


def test_standard_input_spreads_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = node(tmp_path / "node", OLD)
    put(tmp_path, "/input", f"{NEW.hex()}\n".encode())
    with open(tmp_path / "input", "rb") as file:
        kept = os.dup(0)
        os.dup2(file.fileno(), 0)
        try:
            assert step(machine, "--add", "--from", "-") == (OLD, NEW)
        finally:
            os.dup2(kept, 0)
            os.close(kept)


@pytest.mark.parametrize(
    ("here", "arguments", "says"),
    [
        ((OLD, NEW), ["--add"], "accepted already"),
        ((OLD,), ["--switch", NEW_ID], "none of the keys"),
        ((OLD,), ["--finish", NEW_ID], "none of the keys"),
        ((), ["--switch", NEW_ID], "none of the keys"),
        ((OLD, NEW), ["--finish", NEW_ID], f"--switch {NEW_ID}"),
    ],
)
def test_a_step_that_cannot_be_made_from_here_changes_nothing(
    tmp_path: Path, here: tuple[bytes, ...], arguments: list[str], says: str
) -> None:
    machine = node(tmp_path, *here)
    before = machine.read_bytes(fleetkey.PATH)
    with pytest.raises(NodeprepError, match=says):
        step(machine, *arguments)
    assert machine.read_bytes(fleetkey.PATH) == before


def test_another_fleets_two_keys_a_file_without_one_and_a_garbled_one_are_refused(tmp_path: Path) -> None:
    machine = node(tmp_path, OLD)
    put(tmp_path, "/two", f"{NEW.hex()}\n{THIRD.hex()}\n".encode())
    put(tmp_path, "/none", b"\n")
    put(tmp_path, "/garbled", f"{NEW.hex()}g\n".encode())
    for name, says in (("two", "another fleet"), ("none", "no key"), ("garbled", "hex digits"), ("absent", "No such")):
        with pytest.raises(NodeprepError, match=says) as caught:
            step(machine, "--add", "--from", f"{tmp_path}/{name}")
        assert NEW.hex() not in str(caught.value)
    assert fleetkey.fleet_keys(machine) == (OLD,)


def test_a_garbled_file_is_never_overwritten(tmp_path: Path) -> None:
    machine = node(tmp_path, OLD)
    put(tmp_path, fleetkey.PATH, b"garbled\n")
    with pytest.raises(ConfigError, match=fleetkey.PATH):
        step(machine, "--add")
    assert machine.read_text(fleetkey.PATH) == "garbled\n"


def test_a_key_that_a_peer_still_speaks_is_dropped_only_by_force(tmp_path: Path) -> None:
    machine = node(tmp_path, NEW, OLD)
    heard = [{"link": "eth0", "address": "52:54:00:77:00:10"}]
    told(tmp_path, [{"key": NEW_ID, "heard_on": heard}, {"key": OLD_ID, "heard_on": heard}])
    with pytest.raises(NodeprepError, match=r"1 peers .*52:54:00:77:00:10 on eth0") as caught:
        step(machine, "--finish", NEW_ID)
    assert "--force" in str(caught.value)
    assert fleetkey.fleet_keys(machine) == (NEW, OLD)
    assert step(machine, "--finish", NEW_ID, "--force") == (NEW,)


def test_a_credential_is_changed_where_it_is_passed(tmp_path: Path) -> None:
    machine = node(tmp_path, OLD)
    put(tmp_path, f"{config.CREDENTIALS[0]}/{fleetkey.CREDENTIAL}", OLD.hex().encode())
    with pytest.raises(NodeprepError, match="credential"):
        step(machine, "--add")
    assert step(machine) == (OLD,), "what is next may be asked"


def test_a_daemon_that_does_not_take_a_key_up_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "active_units", lambda units: units)
    monkeypatch.setattr(programs, "attempt", lambda argv, timeout_s: False)
    monkeypatch.setattr(key, "TAKEN_UP_S", 0.3)
    machine = node(tmp_path, OLD, NEW)
    put(tmp_path, report.READY_FILE, b"")
    told(tmp_path, [])
    with pytest.raises(NodeprepError, match="has not taken it up"):
        step(machine, "--switch", NEW_ID)
    assert fleetkey.fleet_keys(machine) == (NEW, OLD), "it is written all the same"
    told(tmp_path, [], (NEW_ID, OLD_ID))
    assert step(machine, "--switch", NEW_ID) == (NEW, OLD)


def test_a_node_that_is_not_ready_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(programs, "active_units", lambda units: units)
    monkeypatch.setattr(programs, "attempt", lambda argv, timeout_s: asked.append(argv))
    assert step(node(tmp_path, OLD, NEW), "--switch", NEW_ID) == (NEW, OLD)
    assert asked == [("systemctl", "--no-block", "reload", "nodeprep.service")]


def test_what_is_shown_is_never_a_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = node(tmp_path, OLD, NEW)
    monkeypatch.setattr(key, "LocalMachine", lambda run: machine)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert cli.run(["key", "show-id"]) == 0
    assert capsys.readouterr().out == f"{OLD_ID}  spoken\n{NEW_ID}  accepted\n"
    assert cli.run(["key", "rotate"]) == 0
    out = capsys.readouterr().out
    assert f"--switch {NEW_ID}" in out and f"--finish {OLD_ID}" in out
    assert OLD.hex() not in out and NEW.hex() not in out


def test_who_is_not_root_sees_what_the_daemon_accepts_and_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = node(tmp_path, OLD, NEW)
    told(tmp_path, [])
    monkeypatch.setattr(key, "LocalMachine", lambda run: machine)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert cli.run(["key", "show-id"]) == 0
    assert capsys.readouterr().out == f"{OLD_ID}  spoken\n"
    assert cli.run(["key", "rotate", "--switch", NEW_ID]) == 1
    assert "root" in capsys.readouterr().err
    assert fleetkey.fleet_keys(machine) == (OLD, NEW)


@pytest.mark.parametrize(
    "arguments",
    [[], ["show"], ["rotate", "--from", "x"], ["rotate", "--add", "--from"], ["rotate", "--switch"],
     ["rotate", "--finish", NEW_ID, "--now"], ["rotate", "--add", "--force"], ["show-id", "--add"],
     ["rotate", "--add", "--switch", NEW_ID]],
)  # fmt: skip
def test_what_is_no_step_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["key", *arguments]) == cli.EXIT_USAGE
    assert "nodeprep: key" in capsys.readouterr().err
