"""The command line: what a person reads, what a machine reads, and the exit codes both rely on."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from nodeprep import __version__, cli
from nodeprep.messages import MESSAGES
from nodeprep.verbs import VERBS, document, overview, screen, usage

REPOSITORY = Path(__file__).parents[2]

DOCUMENT: dict[str, Any] = {
    "schema": 1,
    "state": "held",
    "summary": "worker-1: hostname worker-1: a live peer presents it",
    "node": {
        "roles": ["worker", "etcd"],
        "hostname": "worker-1",
        "origin": "clone",
        "reason": "a copy",
        "joined": False,
    },
    "identity": [
        {"artefact": "machine-id", "title": "machine ID", "verdict": "own", "value": "12345678", "detail": ""},
        {"artefact": "hostname", "title": "hostname", "verdict": "conflict", "value": "worker-1", "detail": "a peer"},
        {"artefact": "ipv6-address", "title": "IPv6 addresses", "verdict": "absent", "value": "-", "detail": ""},
        {
            "artefact": "mac",
            "title": "MAC addresses",
            "verdict": "own",
            "value": "02:00:00:00:00:01, " * 4,
            "detail": "",
        },
    ],
    "changes": [{"artefact": "machine-id", "old": "87654321", "new": "12345678"}],
    "peers": {"links": ["eth0"], "count": 2, "contested": [{"peer": "0a1b2c3d", "kinds": ["hostname"]}], "rejected": 0},
    "openings": {
        "mode": "open",
        "backend": "nftables",
        "list": [
            {"opening": "10250/tcp", "purpose": "kubelet", "role": "worker", "from": "10.77.0.0/24"},
            {"opening": "30000-32767/tcp", "purpose": "NodePort", "role": "worker", "from": "any"},
        ],
        "closed_by": [],
    },
    "problems": [
        {"code": "conflict", "subject": "hostname", "title": "t", "detail": "a live peer", "remedy": "Do it."}
    ],
    "warnings": [{"code": "moved", "subject": "", "title": "t", "detail": "it moved", "remedy": "Nothing."}],
}

RENDERED = """\
held: worker-1: hostname worker-1: a live peer presents it
  ! conflict: a live peer
    Do it.
  - moved: it moved
    Nothing.

Identity (clone: a copy)
  machine ID                     own        12345678  (was 87654321)
  hostname                       conflict   worker-1
  MAC addresses                  own        02:00:00:00:00:01, 02:00:00:00:00:01, 02:00:0...

Peers  2 heard on eth0
  0a1b2c3d contests hostname

Openings  worker, etcd; mode open, nftables
  10250/tcp          kubelet  (from 10.77.0.0/24)
  30000-32767/tcp    NodePort
"""


class Node:
    """The status file and the off-switch of a node, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.status = folder / "status.json"
        self.off = folder / "disabled"

    def says(self, state: str) -> None:
        new = self.status.with_suffix(".new")
        new.write_text(json.dumps(DOCUMENT | {"state": state}))
        new.rename(self.status)


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    made = Node(tmp_path)
    monkeypatch.setattr(document, "STATUS_FILE", str(made.status))
    monkeypatch.setattr(document, "DISABLED_FILE", str(made.off))
    return made


def typed(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["nodeprep", *words])
    return cli.main()


# Rendering


def test_a_status_as_a_person_reads_it() -> None:
    assert screen.render(DOCUMENT, long=False) == RENDERED


def test_long_leaves_nothing_out() -> None:
    text = screen.render(DOCUMENT, long=True)
    assert "IPv6 addresses" in text
    assert "02:00:00:00:00:01, " * 4 in text
    assert "a peer" in text
    assert "0 frames rejected" in text
    assert "(from any)" in text


def test_a_former_value_takes_no_more_of_the_line_than_the_present_one() -> None:
    changes = [{"artefact": "machine-id", "old": "x" * 300, "new": "12345678"}]
    assert f"(was {'x' * 45}...)" in screen.render(DOCUMENT | {"changes": changes}, long=False)
    assert f"(was {'x' * 300})" in screen.render(DOCUMENT | {"changes": changes}, long=True)


def test_rejected_frames_are_told_when_there_are_any() -> None:
    peers = DOCUMENT["peers"] | {"rejected": 3, "links": [], "contested": []}
    text = screen.render(DOCUMENT | {"peers": peers}, long=False)
    assert "3 frames rejected" in text
    assert "no link" in text


# Status


@pytest.mark.parametrize(
    ("state", "code"), [("ready", 0), ("held", 1), ("starting", 1), ("degraded", 2), ("of a later release", 1)]
)
def test_the_exit_code_is_the_state(
    node: Node, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], state: str, code: int
) -> None:
    node.says(state)
    assert typed(monkeypatch, "status") == code
    assert capsys.readouterr().out.startswith(f"{state}: ")


def test_json_is_the_document(node: Node, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    node.says("held")
    assert typed(monkeypatch, "status", "--json") == 1
    assert json.loads(capsys.readouterr().out) == DOCUMENT


@pytest.mark.parametrize("content", [None, "", "{", "[]", "5", "null"])
def test_no_status_is_not_running(
    node: Node, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], content: str | None
) -> None:
    if content is not None:
        node.status.write_text(content)
    assert typed(monkeypatch, "status") == 4
    assert "not running" in capsys.readouterr().out
    assert typed(monkeypatch, "status", "--json") == 4
    told = json.loads(capsys.readouterr().out)
    assert (told["schema"], told["state"]) == (1, "not-running")


def test_disabled_says_by_what(node: Node, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    node.off.touch()
    assert typed(monkeypatch, "status") == 4
    assert str(node.off) in capsys.readouterr().out
    assert typed(monkeypatch, "status", "--json") == 4
    assert json.loads(capsys.readouterr().out)["state"] == "disabled"


def test_waiting_for_a_node_that_is_disabled_ends_at_once(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.off.touch()
    assert typed(monkeypatch, "status", "--wait") == 4


@pytest.mark.parametrize("state", ["held", "starting"])
def test_the_wait_times_out(
    node: Node, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], state: str
) -> None:
    node.says(state)
    began = time.monotonic()
    assert typed(monkeypatch, "status", "--wait", "--timeout", "0.1") == 3
    assert time.monotonic() - began < 2
    assert "not ready within 0.1 s" in capsys.readouterr().err


def test_the_wait_for_a_daemon_that_never_comes_times_out(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    assert typed(monkeypatch, "status", "--wait", "--timeout=0") == 3


@pytest.mark.parametrize(("state", "code"), [("ready", 0), ("degraded", 2)])
def test_the_wait_ends_when_the_node_has_judged(
    node: Node, monkeypatch: pytest.MonkeyPatch, state: str, code: int
) -> None:
    node.says("starting")
    later = threading.Timer(0.1, node.says, (state,))
    later.start()
    assert typed(monkeypatch, "status", "--wait", "--timeout=20") == code
    later.join()


def test_on_a_node_that_is_disabled_nothing_is_decided(
    node: Node, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    node.off.touch()
    assert typed(monkeypatch, "decide", "renew") == 4
    assert "disabled by" in capsys.readouterr().out


# Usage


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("nonsense",),
        ("status", "nonsense"),
        ("status", "--timeout"),
        ("status", "--timeout="),
        ("status", "--timeout", "soon"),
        ("status", "--wait", "--timeout", "nan"),
        ("plan", "--yaml"),
        ("decide",),
        ("decide", "perhaps"),
        ("decide", "renew", "keep"),
        ("explain", "no-such-code"),
        ("explain", "ready", "conflict"),
    ],
    ids=" ".join,
)
def test_usage(
    node: Node, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    node.says("ready")
    assert typed(monkeypatch, *words) == 64
    told = "".join(capsys.readouterr())
    assert (usage(VERBS[words[0]]) if words[:1] != ("nonsense",) and words else overview()) in told


@pytest.mark.parametrize("word", ["--help", "-h", "help"])
def test_help_is_no_mistake(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], word: str) -> None:
    assert typed(monkeypatch, word) == 0
    assert capsys.readouterr().out == overview()


def test_the_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"{__version__}\n"


@pytest.mark.parametrize("code", [message.code for message in MESSAGES])
def test_every_code_can_be_explained(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], code: str
) -> None:
    assert typed(monkeypatch, "explain", code) == 0
    assert capsys.readouterr().out.startswith(f"{code}: ")


# What it costs

IMPORTED = """
import sys
sys.path.insert(0, {repository!r})
from nodeprep import cli
from nodeprep.verbs import document
document.STATUS_FILE = {status!r}
sys.argv = ["nodeprep", *{words!r}]
code = cli.main()
print("\\n".join(sys.modules), file=sys.stderr)
sys.exit(code)
"""


def imported(node: Node, *words: str) -> set[str]:
    """Return the modules that a verb imports, in an interpreter of its own."""
    script = IMPORTED.format(repository=str(REPOSITORY), status=str(node.status), words=words)
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "words", [("status",), ("status", "--json"), ("--version",), ("explain", "ready")], ids=" ".join
)
def test_what_is_typed_often_imports_little(node: Node, words: tuple[str, ...]) -> None:
    node.says("ready")
    modules = imported(node, *words)
    tops = {module.partition(".")[0] for module in modules}
    assert "nodeprep" in tops
    assert tops - {"nodeprep", "__main__"} <= set(sys.stdlib_module_names)
    assert not tops & {"dataclasses", "asyncio", "argparse", "inspect", "subprocess", "logging", "typing_extensions"}


def test_a_reader_that_stops_reading_is_no_fault(node: Node) -> None:
    node.says("ready")
    script = IMPORTED.format(repository=str(REPOSITORY), status=str(node.status), words=("status",))
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        running.stdout.close()
        assert running.stderr is not None
        told = running.stderr.read()
    assert running.returncode == 0, told
    assert "Traceback" not in told
    assert "BrokenPipe" not in told
