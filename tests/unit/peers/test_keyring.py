"""Keyring: fleets that change their key, in whatever order their nodes come to it."""

from __future__ import annotations

import itertools

import pytest

from nodeprep.peers.census import Census
from nodeprep.peers.keyring import Keyring
from nodeprep.peers.message import (
    BadFrame,
    Claim,
    ClaimKind,
    Message,
    MessageType,
    Reason,
    Standing,
    claim,
    decode,
    encode,
    key_id,
)
from nodeprep.peers.rules import Dispute, Kept, Lost, Send, Source
from tests.unit.peers.single import HIGH, LOW, OWN, run

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
BEFORE, ADDED, SWITCHED, FINISHED = (Keyring(keys) for keys in ((OLD,), (OLD, NEW), (NEW, OLD), (NEW,)))
STEPS = (BEFORE, ADDED, SWITCHED, FINISHED)
HOSTNAME, MACHINE_ID = (ClaimKind.HOSTNAME, "worker-1"), (ClaimKind.MACHINE_ID, "0123456789abcdef")


def claims(keyring: Keyring) -> frozenset[Claim]:
    return frozenset(keyring.claim(*each) for each in (HOSTNAME, MACHINE_ID))


def is_under(payload: bytes, key: bytes) -> bool:
    try:
        decode(payload, key)
    except BadFrame:
        return False
    return True


def ready(keyring: Keyring, nonce: bytes = LOW) -> Census:
    census = Census(nonce, keyring)
    census.probe(0.0, claims(keyring), Standing.PROBING)
    run(census, 1.0)
    census.ready(1.0)
    run(census, 50.0)
    return census


def converse(one: Census, other: Census, begin_s: float, end_s: float) -> list[tuple[Census, object]]:
    """Carry what two say to each other for a while; return what is reported, and by whom."""
    said: list[tuple[Census, object]] = []

    def deliver(sender: Census, effects: tuple[object, ...], now: float) -> None:
        receiver = other if sender is one else one
        for effect in effects:
            if isinstance(effect, Send):
                deliver(receiver, receiver.receive(now, effect.payload, Source("eth0", "02:00:00:00:00:01")), now)
            else:
                said.append((sender, effect))

    now = begin_s
    while now <= end_s:
        for census in (one, other):
            deliver(census, census.tick(now), now)
        now += 0.01
    return said


def can_hear_each_other(one: Keyring, other: Keyring) -> bool:
    return bool({*one.keys} & {*other.keys})


@pytest.mark.parametrize(("here", "there"), list(itertools.product(STEPS, STEPS)))
def test_a_late_twin_yields_whatever_step_each_of_the_two_is_at(here: Keyring, there: Keyring) -> None:
    holder, late = ready(here), Census(HIGH, there)
    late.probe(50.0, claims(there), Standing.PROBING)
    said = converse(holder, late, 50.0, 52.0)
    lost = [effect for census, effect in said if census is late and isinstance(effect, Lost)]
    if not can_hear_each_other(here, there):
        assert late.clear, "only where a node was left out of two steps"
        return
    assert not late.clear
    assert {one.kind for each in lost for one in each.claims} == {ClaimKind.HOSTNAME, ClaimKind.MACHINE_ID}
    assert all(one in claims(there) for each in lost for one in each.claims), "in the words of who hears it"
    assert any(census is holder and isinstance(effect, Kept) for census, effect in said)


@pytest.mark.parametrize(("here", "there"), [(BEFORE, SWITCHED), (SWITCHED, BEFORE), (ADDED, SWITCHED)])
def test_two_that_are_ready_both_learn_of_each_other(here: Keyring, there: Keyring) -> None:
    one, other = ready(here), ready(there, HIGH)
    said = converse(one, other, 50.0, 700.0)
    assert {census for census, effect in said if isinstance(effect, Dispute)} == {one, other}


def test_who_probes_asks_under_every_key_and_what_is_announced_is_under_the_first() -> None:
    census = Census(OWN, SWITCHED)
    probes = [e.payload for e in census.probe(0.0, claims(SWITCHED), Standing.PROBING) if isinstance(e, Send)]
    probes += [e.payload for _, e in run(census, 1.0) if isinstance(e, Send)]
    assert [is_under(each, NEW) for each in probes] == [True, False] * 8
    announced = [e.payload for e in census.ready(1.0) if isinstance(e, Send)]
    announced += [e.payload for _, e in run(census, 100.0) if isinstance(e, Send)]
    assert announced and all(is_under(each, NEW) for each in announced)
    stamps = [Keyring((NEW, OLD)).open(each)[0].stamp for each in probes + announced]
    assert stamps == sorted(set(stamps)), "each younger than the last, whatever its key"


def test_with_one_key_nothing_is_said_twice() -> None:
    census = Census(OWN, BEFORE)
    census.probe(0.0, claims(BEFORE), Standing.PROBING)
    assert len([e for _, e in run(census, 1.0) if isinstance(e, Send)]) == 8


def test_each_is_answered_under_the_key_that_it_was_heard_under() -> None:
    census = ready(SWITCHED, OWN)
    for key, nonce in ((OLD, LOW), (NEW, HIGH)):
        token = claim(key, *HOSTNAME)
        (payload,) = encode(Message(MessageType.PROBE, nonce, Standing.PROBING, frozenset({token}), stamp=1), key)
        census.receive(60.0, payload)
    sent = [effect.payload for _, effect in run(census, 60.06) if isinstance(effect, Send)]
    answers = {decode(each, key).answers: key for each in sent for key in (OLD, NEW) if is_under(each, key)}
    assert answers == {frozenset({LOW}): OLD, frozenset({HIGH}): NEW}


def test_a_token_of_the_other_key_is_no_claim_of_ours() -> None:
    census = ready(ADDED, OWN)
    wrong = claim(NEW, *HOSTNAME)
    (payload,) = encode(Message(MessageType.PROBE, HIGH, Standing.PROBING, frozenset({wrong}), stamp=1), OLD)
    census.receive(60.0, payload)
    assert not [e for _, e in run(census, 60.2) if isinstance(e, Send)]


def test_a_ready_machine_that_changes_its_keys_asks_again_and_keeps() -> None:
    census, twin = ready(BEFORE), Census(HIGH, SWITCHED)
    assert census.probe(60.0, claims(ADDED), Standing.READY, ADDED) is not None
    run(census, 61.0)
    assert census.clear
    census.ready(61.0)
    twin.probe(62.0, claims(SWITCHED), Standing.PROBING)
    said = converse(census, twin, 62.0, 64.0)
    assert any(who is twin and isinstance(effect, Lost) for who, effect in said)
    assert not any(who is census and isinstance(effect, Lost | Dispute) for who, effect in said)


def test_a_peer_is_shown_with_the_key_that_it_announces_under() -> None:
    census, other = ready(SWITCHED, OWN), Census(HIGH, ADDED)
    other.probe(60.0, frozenset({ADDED.claim(ClaimKind.HOSTNAME, "another")}), Standing.PROBING)
    converse(census, other, 60.0, 61.0)
    for effect in other.ready(61.0):
        assert isinstance(effect, Send)
        census.receive(61.0, effect.payload)
    (peer,) = census.peers
    assert peer.key == key_id(OLD) == ADDED.ids[0]


def test_without_a_key_nothing_is_authentic() -> None:
    with pytest.raises(BadFrame) as caught:
        Keyring().open(encode(Message(MessageType.PROBE, LOW, Standing.PROBING, frozenset()), OLD)[0])
    assert caught.value.reason is Reason.UNAUTHENTIC


def test_a_malformed_frame_of_the_second_key_is_called_malformed() -> None:
    payload = bytearray(encode(Message(MessageType.PROBE, LOW, Standing.PROBING, frozenset()), NEW)[0])
    payload[31] = 9
    from tests.fuzz import fuzzer  # seals under the first key only

    sealed = fuzzer.seal(bytes(payload))
    with pytest.raises(BadFrame) as caught:
        Keyring((NEW, fuzzer.KEY)).open(sealed)
    assert caught.value.reason is Reason.MALFORMED


def test_the_id_of_a_key_says_nothing_of_it_and_is_the_same_everywhere() -> None:
    assert key_id(OLD) == key_id(OLD) != key_id(NEW)
    assert len(key_id(OLD)) == 8
    assert bytes.fromhex(key_id(OLD)) not in OLD
