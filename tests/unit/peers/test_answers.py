"""Answers: who is owed one, how often, and how many a storm can draw."""

from __future__ import annotations

import pytest

from nodeprep.peers.answers import PEERS_OWED_MAX, Answers
from nodeprep.peers.message import ANSWERS_MAX, Message, MessageType, Standing
from nodeprep.peers.rules import DEFAULT_TIMING, Kept
from tests.unit.peers.single import BOTH, FOREIGN, HIGH, LOW, MAC, NAME, OWN, conflict, frame, probing, ready, run, sent


def test_a_contested_probe_is_answered_until_it_is_heard() -> None:
    census = ready()
    (first,) = sent(census.receive(100.0, frame(MessageType.PROBE, LOW, Standing.PROBING)))
    (second,) = sent(census.tick(100.05))
    assert first == second == Message(MessageType.CONFLICT, OWN, Standing.READY, BOTH, frozenset({LOW}))
    assert census.receive(100.06, conflict(LOW, Standing.PROBING)) == (Kept(BOTH, LOW, Standing.PROBING),)
    assert census.tick(100.2) == ()


def test_a_contested_probe_that_hears_nothing_is_answered_three_times_only() -> None:
    census = ready()
    effects = census.receive(100.0, frame(MessageType.PROBE, LOW, Standing.PROBING, frozenset({NAME, FOREIGN})))
    messages = sent(effects + tuple(effect for _, effect in run(census, 100.4)))
    assert [(message.type, message.claims) for message in messages] == [(MessageType.CONFLICT, frozenset({NAME}))] * 3


def test_who_has_been_heard_is_not_answered_again() -> None:
    census = probing()
    (acknowledgement,) = sent(census.receive(0.2, conflict(LOW, Standing.PROBING, heard=False)))
    assert acknowledgement.heard
    assert acknowledgement.answers == {LOW}
    assert all(message.type is MessageType.PROBE for message in sent(tuple(effect for _, effect in run(census, 0.4))))


@pytest.mark.parametrize("kind", [MessageType.PROBE, MessageType.ANNOUNCE])
def test_a_probe_that_shares_no_claim_is_answered_by_nobody(kind: MessageType) -> None:
    assert ready().receive(100.0, frame(kind, LOW, Standing.PROBING, frozenset({FOREIGN}))) == ()


def test_a_storm_of_probes_is_answered_by_a_bounded_number_of_frames() -> None:
    census = ready()
    frames = 0
    for number in range(5000):
        now = 100 + number / 1000
        payload = frame(MessageType.PROBE, number.to_bytes(16, "big"), Standing.PROBING)
        frames += len(sent(census.receive(now, payload) + census.tick(now)))
    assert 50 < frames <= 5 / DEFAULT_TIMING.answer_interval_s + 1


def test_the_two_frames_of_a_long_probe_draw_one_answer_to_both() -> None:
    census = ready()
    census.receive(100.0, frame(MessageType.PROBE, HIGH, Standing.PROBING))
    census.receive(100.01, frame(MessageType.PROBE, LOW, Standing.PROBING, frozenset({NAME})))
    census.receive(100.02, frame(MessageType.PROBE, LOW, Standing.PROBING, frozenset({MAC})))
    census.receive(100.03, conflict(HIGH, Standing.PROBING))
    assert sent(census.tick(100.05)) == [Message(MessageType.CONFLICT, OWN, Standing.READY, BOTH, frozenset({LOW}))]


def test_a_peer_that_has_proven_itself_is_heard_even_if_it_probes_again() -> None:
    census = ready()
    census.receive(100.0, frame(MessageType.PROBE, HIGH, Standing.PROBING))
    census.receive(100.01, conflict(LOW, Standing.PROBING, heard=False))
    census.receive(100.02, frame(MessageType.PROBE, LOW, Standing.PROBING))
    answered = [message for message in sent(census.tick(100.05)) if LOW in message.answers]
    assert [message.heard for message in answered] == [True]


def test_the_queue_keeps_the_latest_of_more_peers_than_it_can_hold() -> None:
    answers = Answers(interval_s=0.05, tries=1)
    for number in range(10 * PEERS_OWED_MAX):
        answers.owe(number.to_bytes(16, "big"), BOTH, heard=False)
    batches = [batch for tick in range(100) for batch in answers.take(tick / 10)]
    nonces = sorted(nonce for batch in batches for nonce in batch.nonces)
    assert nonces == [number.to_bytes(16, "big") for number in range(9 * PEERS_OWED_MAX, 10 * PEERS_OWED_MAX)]
    assert max(len(batch.nonces) for batch in batches) == ANSWERS_MAX


def test_who_asks_for_what_we_yield_is_not_answered_along_with_the_others() -> None:
    census = probing()
    census.receive(0.2, conflict(OWN[:15] + b"\x00", Standing.READY, frozenset({NAME}), heard=False))
    census.receive(0.21, frame(MessageType.PROBE, LOW, Standing.PROBING, frozenset({NAME})))
    census.receive(0.22, frame(MessageType.PROBE, HIGH, Standing.PROBING, frozenset({MAC})))
    answers = [message.answers for message in sent(census.tick(0.25)) if message.type is MessageType.CONFLICT]
    assert answers == [{HIGH}]
