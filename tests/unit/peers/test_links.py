"""Links: a claim that is confined to one is presented there, and contested there only."""

from __future__ import annotations

from dataclasses import replace

from nodeprep.peers.census import Census
from nodeprep.peers.message import Claim, MessageType, Reason, Standing, decode
from nodeprep.peers.rules import Clear, Effect, Lost, Rejected, Send, Source
from tests.unit.peers.single import HIGH, KEY, KEYRING, LOW, MAC, NAME, OWN, conflict, frame, run

ETH0, ETH1 = Source("eth0", "02:aa:bb:cc:dd:ee"), Source("eth1", "02:aa:bb:cc:dd:ff")
HERE = replace(MAC, link="eth0")


def said(effects: tuple[Effect, ...]) -> dict[str, frozenset[Claim]]:
    return {effect.link: decode(effect.payload, KEY).claims for effect in effects if isinstance(effect, Send)}


def probing() -> Census:
    census = Census(OWN, KEYRING)
    census.probe(0.0, frozenset({NAME, HERE}), Standing.PROBING)
    run(census, 0.2)
    return census


def ready() -> Census:
    census = probing()
    run(census, 1.0)
    census.ready(1.0)
    run(census, 100.0)
    return census


def test_what_is_ours_on_one_link_is_said_on_that_link_and_the_rest_everywhere() -> None:
    census = Census(OWN, KEYRING)
    census.probe(0.0, frozenset({NAME, HERE}), Standing.PROBING)
    effects = tuple(effect for _, effect in run(census, 0.06))
    assert said(effects) == {"eth0": {NAME, MAC}, "": {NAME}}
    assert census.links == {"eth0"}


def test_the_same_address_on_another_link_is_no_contest() -> None:
    census = ready()
    bare = frame(MessageType.PROBE, LOW, Standing.PROBING, frozenset({MAC}))
    assert census.receive(100.0, bare, ETH1) == ()
    effects = census.receive(100.0, frame(MessageType.PROBE, HIGH, Standing.PROBING, frozenset({MAC})), ETH0)
    assert said(effects) == {"eth0": {MAC}}, "and the answer does not name it elsewhere"


def test_what_is_lost_says_on_which_link() -> None:
    census = probing()
    effects = census.receive(0.3, conflict(LOW, Standing.READY), ETH0)
    assert Lost(frozenset({NAME, HERE}), LOW, Standing.READY) in effects
    census = probing()
    effects = census.receive(0.3, conflict(LOW, Standing.READY), ETH1)
    assert Lost(frozenset({NAME}), LOW, Standing.READY) in effects


def test_a_peer_is_known_on_every_link_that_it_was_heard_on() -> None:
    census = ready()
    for source in (ETH0, ETH1, ETH0):
        census.receive(100.0, frame(MessageType.ANNOUNCE, LOW, Standing.READY, frozenset()), source)
    (peer,) = census.peers
    assert peer.sources == (ETH1, ETH0)


def test_a_copy_or_a_replay_is_dropped_before_it_costs_anything_and_on_its_own_link_only() -> None:
    census = ready()
    old, new = (frame(MessageType.PROBE, LOW, Standing.PROBING) for _ in range(2))
    census.receive(100.0, new, ETH0)
    forged = old[:-1] + bytes((old[-1] ^ 1,))
    for payload in (new, old, forged):
        assert census.receive(100.1, payload, ETH0) == (Rejected(Reason.STALE),)
    assert census.rejected[Reason.STALE] == 3
    assert census.rejected[Reason.UNAUTHENTIC] == 0
    assert not isinstance(census.receive(100.1, old, ETH1), Rejected)


def test_a_forged_stamp_from_the_future_silences_nobody() -> None:
    census = ready()
    genuine = frame(MessageType.PROBE, LOW, Standing.PROBING)
    forged = genuine[:23] + b"\xff" * 8 + genuine[31:]
    assert census.receive(100.0, forged, ETH0) == (Rejected(Reason.UNAUTHENTIC),)
    assert said(census.receive(100.0, genuine, ETH0)) == {"eth0": {NAME, MAC}, "": {NAME}}


def test_a_replayed_dispute_does_not_outlast_its_peer() -> None:
    census = ready()
    recording = conflict(LOW, Standing.READY)
    census.receive(100.0, recording, ETH0)
    (peer,) = census.peers
    assert peer.contested
    for now in range(101, 160):
        census.receive(float(now), recording, ETH0)
        run(census, float(now))
    assert not census.peers[0].contested


def test_a_daemon_that_starts_again_under_its_nonce_is_not_taken_for_a_replay() -> None:
    listener = ready()
    for began in (10.0, 20.0):
        census = Census(HIGH, KEYRING)
        census.probe(began, frozenset({NAME}), Standing.PROBING)
        heard = [
            listener.receive(100.0 + at, effect.payload, ETH0)
            for at, effect in run(census, began + 1)
            if isinstance(effect, Send)
        ]
        assert not any(isinstance(effect, Rejected) for effects in heard for effect in effects)
    assert listener.rejected[Reason.STALE] == 0


def test_an_echo_is_counted_where_it_came_from() -> None:
    census = ready()
    for now in (100.0, 101.0):
        census.receive(now, frame(MessageType.ANNOUNCE, OWN, Standing.READY), ETH1)
    assert census.echoes == {"eth1": (2, 101.0)}


def test_a_reminder_is_said_at_once_and_soon_again_and_does_no_harm_before() -> None:
    census = ready()
    assert set(said(census.remind(101.0))) == {"eth0", ""}
    assert sum(isinstance(effect, Send) for _, effect in run(census, 103.0)) >= 2
    silent = probing()
    assert silent.remind(0.25) == ()
    assert [effect for _, effect in run(silent, 2.0)][-1] == Clear()
