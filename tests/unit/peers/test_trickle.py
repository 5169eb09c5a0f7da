"""Announcements: rare on a quiet segment, back when something is wrong."""

from __future__ import annotations

from itertools import pairwise

import pytest

from nodeprep.peers.census import Census
from nodeprep.peers.message import MessageType, Standing
from tests.unit.peers.single import BOTH, HIGH, KEYRING, OWN, conflict, ready, run, sent


def test_announcements_become_rare_and_stay_so() -> None:
    census = Census(OWN, KEYRING)
    census.probe(0.0, BOTH, Standing.PROBING)
    run(census, 1.0)
    assert [message.type for message in sent(census.ready(1.0))] == [MessageType.ANNOUNCE]
    times = [at for at, effect in run(census, 20_000.0)]
    assert times[0] <= 2.0
    assert 9 <= sum(at < 1024 for at in times) <= 12
    gaps = [later - earlier for earlier, later in pairwise(times) if earlier > 1024]
    assert all(256 <= gap <= 768 for gap in gaps)
    assert len(set(gaps)) == len(gaps)
    assert len(gaps) == pytest.approx((20_000 - 1024) / 512, abs=2)


def test_a_proven_contest_brings_the_announcements_back() -> None:
    census = ready()
    census.receive(100.0, conflict(HIGH, Standing.PROBING))
    assert census.deadline is not None
    assert census.deadline <= 101.0


def test_contests_one_after_another_do_not_put_the_announcement_off() -> None:
    census = ready()
    announced = 0
    for number in range(30):
        now = 100 + number / 10
        effects = census.receive(now, conflict(bytes((number,)) * 16, Standing.PROBING)) + census.tick(now)
        announced += len([1 for message in sent(effects) if message.type is MessageType.ANNOUNCE])
    assert 2 <= announced <= 4
