"""Foreign: who speaks under no key of ours, and who only seems to."""

from __future__ import annotations

import itertools

from nodeprep.peers.foreign import EXPIRY_S, FOREIGNERS_MAX, SPARED_S, Foreigners
from nodeprep.peers.rules import Source

ETH0 = Source("eth0", "02:00:00:00:00:01")
NONCE = bytes(16)


def never(_: bytes) -> None:
    return None


def test_a_foreigner_is_there_until_it_was_silent_for_long() -> None:
    some = Foreigners()
    for now in (1.0, 2.0, 3.0):
        some.note(now, NONCE, ETH0)
    (one,) = some.seen(3.0 + EXPIRY_S - 1.0, never)
    assert (one.source, one.frames, one.last_s) == (ETH0, 3, 3.0)
    assert some.seen(3.0 + EXPIRY_S, never) == ()


def test_a_peer_that_asks_under_two_keys_is_no_foreigner() -> None:
    some = Foreigners()
    some.note(10.0, NONCE, ETH0)
    assert some.seen(11.0, lambda _: 10.1) == (), "of the two frames the one we understand came a little later"
    assert some.seen(11.0, lambda _: 10.0 - SPARED_S + 1.0) == ()


def test_a_peer_that_has_changed_to_a_key_that_we_lack_is_one() -> None:
    some = Foreigners()
    some.note(500.0, NONCE, ETH0)
    assert len(some.seen(500.0, lambda _: 400.0)) == 1
    assert some.seen(501.0, lambda _: 501.0) == (), "and none any more once we have it"


def test_a_flood_of_addresses_is_forgotten_beyond_a_bound() -> None:
    some = Foreigners()
    for number, now in zip(range(1000), itertools.count(1.0), strict=False):
        some.note(now, NONCE, Source("eth0", str(number)))
    assert len(some.seen(1000.0, never)) == FOREIGNERS_MAX
    assert some.seen(1000.0, never)[-1].source.address == "999"
