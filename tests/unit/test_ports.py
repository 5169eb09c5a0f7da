"""`nodeprep ports`: asked by anybody, of this node's roles or of others, and never silent about what is open to all."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from nodeprep import cli
from nodeprep.cni import FOLDERS
from nodeprep.config import CREDENTIALS, FILE
from nodeprep.formats.sheet import UNKNOWN
from nodeprep.formats.table import NOBODY_SAID
from nodeprep.ports import FORMATS, Visible
from nodeprep.verbs import FORMATS as OFFERED
from nodeprep.verbs import ports as verb
from tests.fakes.disk import put
from tests.fakes.sheets import FOLDER

NODES = b'[cluster]\nnodes = ["10.77.0.0/24"]\n'
NOBODY = 65534


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Visible:
    for path in FOLDER.iterdir():
        put(tmp_path, f"/usr/share/nodeprep/roles.d/{path.name}", path.read_bytes())
    seen = Visible(str(tmp_path))
    monkeypatch.setattr(verb, "Visible", lambda: seen)
    return seen


def test_the_formats_that_are_offered_are_those_there_are() -> None:
    assert tuple(FORMATS) == OFFERED


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["worker"], "no operand"),
        (["--rolle", "x"], "no option"),
        (["--role"], "takes ROLE"),
        (["--format="], "takes FORMAT"),
        (["--format", "xml"], "takes one of table, json, nft"),
    ],
)
def test_what_is_not_understood_is_usage(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["ports", *arguments]) == 64
    assert said in capsys.readouterr().err


def test_the_table_says_what_from_whom_who_needs_it_and_why(
    machine: Visible, capsys: pytest.CaptureFixture[str]
) -> None:
    put(Path(machine.real("")), FILE, NODES)
    assert cli.run(["ports"]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    lines = [line.split("  ") for line in told.out.splitlines()]
    found = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert found[0] == ["OPENING", "FROM", "NEEDED BY", "PURPOSE", "ROLE"]
    assert ["10250/tcp", "10.77.0.0/24", "control-plane", "kubelet API", "worker"] in found
    assert len(found) == 5


def test_roles_that_are_named_stand_in_for_those_of_the_node(
    machine: Visible, capsys: pytest.CaptureFixture[str]
) -> None:
    put(Path(machine.real("")), FILE, b'[node]\nroles = ["worker"]\n' + NODES)
    assert cli.run(["ports", "--role", "etcd", "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == 1
    assert document["roles"] == ["etcd"]
    assert document["openings"][0] == {
        "opening": "2379/tcp",
        "protocol": "tcp",
        "first_port": 2379,
        "last_port": 2379,
        "from": ["10.77.0.0/24"],
        "known": True,
        "needed_by": ["control-plane"],
        "purpose": "etcd client",
        "role": "etcd",
    }


def test_a_protocol_without_ports_has_none_in_the_document(
    machine: Visible, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["ports", "--role", "calico", "--format", "json"]) == 0
    tunnel = json.loads(capsys.readouterr().out)["openings"][0]
    assert (tunnel["protocol"], tunnel["first_port"], tunnel["last_port"]) == ("ip-in-ip", None, None)
    assert (tunnel["from"], tunnel["known"]) == ([], False)


def test_the_network_that_is_installed_is_among_the_roles(machine: Visible, capsys: pytest.CaptureFixture[str]) -> None:
    put(Path(machine.real("")), f"{FOLDERS[0]}/10-calico.conflist", b'{"plugins": [{"type": "calico"}]}')
    assert cli.run(["ports", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["roles"] == ["worker", "calico"]


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_open_to_anyone_is_said_in_every_format_and_on_standard_error(
    machine: Visible, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert cli.run(["ports", "--role", "worker", "--format", name]) == 0
    told = capsys.readouterr()
    assert "open to anyone" in told.err
    assert "10250/tcp, 10256/tcp, 30000-32767/tcp, 30000-32767/udp" in told.err
    assert {"table": NOBODY_SAID, "json": '"known": false'}.get(name, UNKNOWN) in told.out
    put(Path(machine.real("")), FILE, NODES)
    assert cli.run(["ports", "--role", "worker", "--format", name]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    for anyone in (UNKNOWN, NOBODY_SAID, "0.0.0.0/0", "::/0", '"known": false'):
        assert anyone not in told.out


@pytest.mark.parametrize("name", FORMATS)
def test_the_port_of_peers_beyond_routers_is_written_in_every_format_open_to_them_alone(
    machine: Visible, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert cli.run(["ports", "--role", "worker", "--format", name]) == 0
    assert "7878" not in capsys.readouterr().out
    put(Path(machine.real("")), FILE, NODES + b'[peers]\nunicast = ["10.1.2.3", "fd00::5"]\nport = 7878\n')
    assert cli.run(["ports", "--role", "worker", "--format", name]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert "7878" in told.out and UNKNOWN not in told.out
    for source in ("10.1.2.3", "fd00::5"):
        assert source in told.out


def test_a_role_that_is_not_there_is_named_with_the_option(
    machine: Visible, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["ports", "--role", "wroker"]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert "--role" in told.err and "did you mean 'worker'" in told.err


def test_a_configuration_that_is_not_usable_is_no_table(machine: Visible, capsys: pytest.CaptureFixture[str]) -> None:
    put(Path(machine.real("")), FILE, b'[cluster]\nnodes = ["10.77.0.1/24"]\n')
    assert cli.run(["ports"]) == 1
    told = capsys.readouterr()
    assert (told.out, "cluster.nodes" in told.err) == ("", True)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_anybody_may_ask_and_hears_what_only_root_may_read(
    machine: Visible, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for hidden in (CREDENTIALS[0], FOLDERS[0]):
        put(tmp_path, f"{hidden}/nodeprep.role", b"etcd")
        os.chmod(machine.real(hidden), 0o700)
    for folder in (tmp_path, *tmp_path.parents):
        if folder != Path("/tmp"):
            os.chmod(folder, folder.stat().st_mode | 0o055)
        if folder.parent == Path("/tmp"):
            break
    os.seteuid(NOBODY)
    try:
        assert cli.run(["ports", "--format", "json"]) == 0
    finally:
        os.seteuid(0)
    told = capsys.readouterr()
    assert json.loads(told.out)["roles"] == ["worker"]
    assert f"only root may read it: {CREDENTIALS[0]}/nodeprep.role" in told.err
    assert FOLDERS[0] in told.err
