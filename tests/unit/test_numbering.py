"""Numbers for hostnames: which are tried, in which order, and which one was drawn on this disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodeprep import numbers
from nodeprep.host.local import LocalMachine
from nodeprep.numbering import place_after
from nodeprep.numbers import NUMBER_MAX, Number, digits, names
from nodeprep.peers.message import ClaimKind, Standing
from nodeprep.peers.rules import Outcome, Peer
from tests.fakes.disk import put

HOSTNAME = frozenset({ClaimKind.HOSTNAME})


def peer(standing: Standing, contested: frozenset[ClaimKind], outcome: Outcome | None) -> Peer:
    return Peer("aabbccdd", standing, 0.0, contested, outcome)


def test_only_rivals_that_go_before_us_move_us_on() -> None:
    before = peer(Standing.PROBING, HOSTNAME, Outcome.YIELD)
    others = (
        peer(Standing.PROBING, HOSTNAME, Outcome.KEEP),
        peer(Standing.READY, HOSTNAME, Outcome.YIELD),
        peer(Standing.PROBING, frozenset({ClaimKind.MAC}), Outcome.YIELD),
        peer(Standing.PROBING, frozenset(), None),
    )
    assert place_after(0, (before, *others, before)) == 2
    assert place_after(3, others) == 3


def test_numbers_have_two_digits_at_least() -> None:
    assert [digits(number) for number in (1, 42, 100, NUMBER_MAX)] == ["01", "42", "100", "9999"]


def test_the_number_that_was_drawn_before_comes_first_and_what_is_excluded_never() -> None:
    drawn = list(names("worker-{}".format, 7, frozenset({"worker-01", "worker-03"})))
    assert drawn[:4] == [("worker-07", 7), ("worker-02", 2), ("worker-04", 4), ("worker-05", 5)]
    assert len(drawn) == NUMBER_MAX - 2


def test_a_number_lies_on_the_disk(tmp_path: Path) -> None:
    machine = LocalMachine("test", str(tmp_path))
    assert numbers.read(machine) is None
    put(tmp_path, numbers.PATH, numbers.encode(Number(7, "fingerprint")).encode())
    assert numbers.read(machine) == Number(7, "fingerprint")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "7", '{"number": "x", "machine": "a"}', '{"number": 1e999}'])
def test_one_that_is_torn_is_none(tmp_path: Path, text: str) -> None:
    put(tmp_path, numbers.PATH, text.encode())
    assert numbers.read(LocalMachine("test", str(tmp_path))) is None
