"""An operator's word: written whole, followed at once where the node is not ready, and refused where it would harm."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nodeprep import cli, report, run
from nodeprep.errors import HostError, NodeprepError
from nodeprep.host import programs
from nodeprep.host.local import LocalMachine
from nodeprep.verbs import decide
from tests.fakes import disk

RESTARTED = [("systemctl", "--no-block", "restart", "nodeprep.service")]


class Node:
    """A machine in a folder, and what was run on it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.machine = LocalMachine("decide", str(root))
        self.programs = disk.Programs()

    def is_ready(self) -> None:
        disk.put(self.root, report.READY_FILE, b"")

    def has_joined(self) -> None:
        disk.put(self.root, "/etc/kubernetes/kubelet.conf", b"")

    def word(self) -> str | None:
        return self.machine.read_text(run.DECIDED)


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    made = Node(tmp_path)
    monkeypatch.setattr(programs, "run", made.programs.run)
    return made


@pytest.mark.parametrize("has_joined", [False, True])
def test_a_node_that_is_held_is_renewed_at_once_whatever_it_joined(node: Node, has_joined: bool) -> None:
    if has_joined:
        node.has_joined()
    assert "is renewed now" in decide.decide(node.machine, "renew")
    assert node.word() == "renew\n"
    assert (node.root / run.DECIDED[1:]).stat().st_mode & 0o777 == 0o600
    assert node.programs.ran == RESTARTED


def test_a_node_that_is_ready_is_renewed_at_its_next_boot(node: Node) -> None:
    node.is_ready()
    assert "`systemctl reboot`" in decide.decide(node.machine, "renew")
    assert node.word() == f"renew {run.ALONE}\n"
    assert node.programs.ran == []


def test_a_member_that_is_ready_is_not_taken_out_of_its_cluster(node: Node) -> None:
    node.is_ready()
    node.has_joined()
    with pytest.raises(NodeprepError, match=r"kubelet-identity.*drain it and let it leave first"):
        decide.decide(node.machine, "renew")
    assert node.word() is None
    assert node.programs.ran == []


@pytest.mark.parametrize("has_joined", [False, True])
@pytest.mark.parametrize("is_ready", [False, True])
def test_who_keeps_is_followed_at_once(node: Node, is_ready: bool, has_joined: bool) -> None:
    if is_ready:
        node.is_ready()
    if has_joined:
        node.has_joined()
    assert "keeps all that it has" in decide.decide(node.machine, "keep")
    assert node.word() == "keep\n"
    assert node.programs.ran == RESTARTED


def test_the_last_word_counts(node: Node) -> None:
    node.is_ready()
    decide.decide(node.machine, "renew")
    decide.decide(node.machine, "keep")
    assert node.word() == "keep\n"


def test_only_root_decides(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert cli.run(["decide", "renew"]) == 1
    assert "root" in capsys.readouterr().err


def test_a_daemon_that_cannot_be_started_is_told_of(
    node: Node, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(argv: tuple[str, ...], timeout_s: float) -> str:
        raise HostError("systemctl: no bus")

    monkeypatch.setattr(programs, "run", refuse)
    monkeypatch.setattr(decide, "LocalMachine", lambda name: node.machine)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert cli.run(["decide", "keep"]) == 1
    assert capsys.readouterr().err == "nodeprep: systemctl: no bus\n"
    assert node.word() == "keep\n", "the next start follows it"
