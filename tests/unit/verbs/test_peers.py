"""`nodeprep peers`: what a person reads, what a machine reads, and what it does not cost."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nodeprep import cli
from nodeprep.peers.foreign import Foreigner
from nodeprep.peers.message import ClaimKind, Reason, Standing
from nodeprep.peers.rules import Outcome, Peer, Source
from nodeprep.report import PEERS_SHOWN_MAX, peers
from nodeprep.verbs import document
from nodeprep.verbs import peers as verb

REPOSITORY = Path(__file__).parents[3]
NOW_S = 1_800_000_000
ETH0 = Source("eth0", "52:54:00:77:00:10")
ETH1 = Source("eth1", "52:54:00:77:00:11")
QUIET = Peer("0a1b2c3d", Standing.READY, 0.0, frozenset(), None, "control-plane", (ETH1, ETH0))
TWIN = Peer(
    "ffeeddcc", Standing.PROBING, 0.0, frozenset({ClaimKind.MAC, ClaimKind.HOSTNAME}), Outcome.KEEP, "", (ETH0,)
)
PEERS = peers(
    ("eth0", "eth1"), ((QUIET, NOW_S - 400), (TWIN, NOW_S - 3)), {Reason.STALE: 2, Reason.VERSION: 0}, {"eth1": 1}
)

TABLE = """\
PEER      ROLE           STATE    LAST HEARD  LINK       ADDRESS
ffeeddcc  -              probing  3 s ago     eth0       52:54:00:77:00:10  contests hostname, mac: it yields
0a1b2c3d  control-plane  ready    6 min ago   eth0,eth1  52:54:00:77:00:10
2 heard on eth0, eth1
2 frames rejected: 2 stale
"""


def test_a_person_reads_who_is_there_the_latest_first() -> None:
    assert verb.as_text(PEERS, as_json=False, now_s=NOW_S) == TABLE


def test_a_machine_reads_the_same_and_the_schema() -> None:
    assert json.loads(verb.as_text(PEERS, as_json=True, now_s=NOW_S)) == {"schema": 1, **PEERS}
    assert PEERS["list"][0] == {
        "peer": "ffeeddcc",
        "role": "",
        "state": "probing",
        "last_heard": NOW_S - 3,
        "heard_on": [{"link": "eth0", "address": "52:54:00:77:00:10"}],
        "contested": ["hostname", "mac"],
        "outcome": "keep",
        "key": "",
    }
    assert PEERS["contested"] == [{"peer": "ffeeddcc", "kinds": ["hostname", "mac"]}]
    assert PEERS["rejected_by"] == {"stale": 2}
    assert PEERS["echoes"] == ["eth1"]


def test_configured_peers_that_were_not_heard_are_named() -> None:
    some = peers(("unicast/udp",), (), {}, {}, silent=("10.1.2.3:7877", "[fd00::5]:7000"))
    text = verb.as_text(some, as_json=False, now_s=NOW_S)
    assert text == "0 heard on unicast/udp\nnot heard yet: 10.1.2.3:7877, [fd00::5]:7000\n"
    assert json.loads(verb.as_text(some, as_json=True, now_s=NOW_S))["silent"] == some["silent"]


def test_nobody_there_is_said_in_one_line() -> None:
    assert verb.as_text(peers((), (), {}, {}), as_json=False, now_s=NOW_S) == "0 heard on no link\n"


def test_of_very_many_the_latest_are_shown_and_all_are_counted() -> None:
    many = peers(("eth0",), tuple((QUIET, NOW_S + number) for number in range(PEERS_SHOWN_MAX + 5)), {}, {})
    assert many["count"] == PEERS_SHOWN_MAX + 5
    assert [row["last_heard"] for row in many["list"]] == [
        NOW_S + number for number in range(PEERS_SHOWN_MAX + 4, 4, -1)
    ]
    assert f"; {PEERS_SHOWN_MAX} shown" in verb.as_text(many, as_json=False, now_s=NOW_S)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-1.0, "0 s ago"), (89.4, "89 s ago"), (90.0, "1 min ago"), (5399.0, "89 min ago"), (7200.0, "2 h ago")],
)
def test_how_long_ago_is_said_briefly(seconds: float, said: str) -> None:
    assert verb.ago(seconds) == said


def test_watching_shows_what_is_new_until_it_is_interrupted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nobody: dict[str, Any] = {"peers": peers((), (), {}, {})}
    documents: list[dict[str, Any]] = [nobody, nobody, {"peers": PEERS}]
    monkeypatch.setattr("time.time", lambda: NOW_S)

    def sleep(_: float) -> None:
        if not documents:
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", sleep)
    monkeypatch.setattr(document, "read", lambda: documents.pop(0))
    assert cli.run(["peers", "--watch"]) == 0
    assert capsys.readouterr().out == "0 heard on no link\n" + TABLE


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_where_nothing_runs_that_is_said(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(document, "STATUS_FILE", str(tmp_path / "none"))
    assert cli.run(["peers", *arguments]) == 4
    said = capsys.readouterr().out
    assert (json.loads(said)["state"] == "not-running") if arguments else said.startswith("nodeprep: not running")


def test_the_verb_takes_no_other_argument(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["peers", "--all"]) == cli.EXIT_USAGE
    assert "peers: there is no option" in capsys.readouterr().err


def test_it_imports_no_more_than_status_does() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(REPOSITORY)!r})\n"
        "from nodeprep import cli; from nodeprep.verbs import document; document.STATUS_FILE = '/nonexistent'\n"
        "cli.run([sys.argv[1]]); print(*sorted(sys.modules), file=sys.stderr)"
    )
    loaded = [
        set(
            subprocess.run(
                [sys.executable, "-I", "-S", "-c", code, verb],
                capture_output=True, text=True, check=True,
            ).stderr.split()
        )
        for verb in ("status", "peers")
    ]  # fmt: skip
    assert loaded[1] - loaded[0] == {"nodeprep.verbs.peers", "time"} - loaded[0]


def test_while_the_key_changes_it_is_said_who_speaks_the_other_one_and_who_speaks_neither() -> None:
    former = Peer("0badcafe", Standing.READY, 0.0, frozenset(), None, "worker", (ETH0,), "11111111")
    twin = Foreigner(Source("eth0", "52:54:00:77:00:10"), 17, bytes(16), 0.0)
    some = peers(
        ("eth0",), ((former, NOW_S),), {}, {}, ("22222222", "11111111"),
        ((Foreigner(ETH1, 1, bytes(16), 0.0), NOW_S - 120, False), (twin, NOW_S - 3, True)),
    )  # fmt: skip
    assert some["keys"] == ["22222222", "11111111"]
    assert some["foreign"][0] == {
        "link": "eth0", "address": "52:54:00:77:00:10", "last_heard": NOW_S - 3, "frames": 17, "own_mac": True,
    }  # fmt: skip
    text = verb.as_text(some, as_json=False, now_s=NOW_S)
    assert "  speaks key 11111111\n" in text
    assert "52:54:00:77:00:10, which is a MAC of this node, on eth0, 17 frames, the last 3 s ago\n" in text
    assert "another fleet key: 52:54:00:77:00:11, on eth1, 1 frames, the last 2 min ago\n" in text
