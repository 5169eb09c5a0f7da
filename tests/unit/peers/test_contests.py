"""Contests: reported once, and over when their evidence is."""

from __future__ import annotations

from nodeprep.peers.message import ClaimKind, MessageType, Standing
from nodeprep.peers.rules import DEFAULT_TIMING, Dispute, Kept, Lost, Resolved, Send
from tests.unit.peers.single import (
    BOTH,
    FOREIGN,
    HIGH,
    LOW,
    MAC,
    NAME,
    conflict,
    frame,
    probing,
    ready,
    reported,
    run,
    sent,
)


def test_a_dispute_is_reported_once_and_resolved_when_the_peer_has_gone() -> None:
    census = ready()
    assert census.receive(100.0, conflict(LOW, Standing.READY)) == (Dispute(BOTH, LOW, Standing.READY),)
    assert reported(census.receive(110.0, conflict(LOW, Standing.READY))) == []
    assert census.peers[0].contested == {ClaimKind.HOSTNAME, ClaimKind.MAC}
    events = [(at, effect) for at, effect in run(census, 200.0) if not isinstance(effect, Send)]
    assert events == [(110.0 + DEFAULT_TIMING.expiry_s, Resolved(BOTH, LOW))]
    assert census.peers[0].contested == frozenset()


def test_an_operator_who_changes_the_contested_name_resolves_that_part() -> None:
    census = ready()
    census.receive(100.0, conflict(LOW, Standing.READY))
    effects = census.amend(101.0, frozenset({FOREIGN, MAC}))
    assert effects[0] == Resolved(frozenset({NAME}), LOW)
    assert [message.claims for message in sent(effects)] == [{FOREIGN, MAC}]
    assert census.peers[0].contested == {ClaimKind.MAC}
    given_up = frame(MessageType.PROBE, HIGH, Standing.PROBING, frozenset({NAME}))
    assert all(message.type is MessageType.ANNOUNCE for message in sent(census.receive(102.0, given_up)))


def test_a_keeper_whose_rival_becomes_ready_loses_after_all() -> None:
    census = probing()
    assert census.receive(0.2, conflict(HIGH, Standing.PROBING)) == (Kept(BOTH, HIGH, Standing.PROBING),)
    assert census.receive(0.21, conflict(HIGH, Standing.READY)) == (Lost(BOTH, HIGH, Standing.READY),)


def test_a_contest_told_in_two_frames_is_one_contest() -> None:
    census = ready()
    for now, each in ((100.0, NAME), (100.1, MAC), (100.2, NAME)):
        effects = census.receive(now, conflict(LOW, Standing.READY, frozenset({each})))
        expected = [] if now == 100.2 else [Dispute(frozenset({each}), LOW, Standing.READY)]
        assert reported(effects) == expected
    assert census.peers[0].contested == {NAME.kind, MAC.kind}
