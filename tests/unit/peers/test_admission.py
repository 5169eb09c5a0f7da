"""Admission: what a flood costs, and who is heard through it."""

from __future__ import annotations

import random

import pytest

from nodeprep.peers.admission import DEFAULT_RATES, Admission, Buckets, Rates
from nodeprep.peers.rules import Source

TWIN = Source("eth0", "52:54:00:77:00:10")
NONCE = b"\x07" * 16


def flood(admission: Admission, per_s: int, seconds: float, seed: int, *, macs: bool, nonces: bool) -> int:
    """Return how many of so many hostile frames a second are authenticated; what varies, varies with each frame."""
    rng = random.Random(seed)
    admitted = 0
    for number in range(int(per_s * seconds)):
        source = Source("eth0", rng.randbytes(6).hex() if macs else "02:66:66:66:66:66")
        admitted += admission.admit(10 + number / per_s, source, rng.randbytes(16) if nonces else b"\x66" * 16)
    return admitted


@pytest.mark.parametrize(("macs", "nonces"), [(False, False), (False, True), (True, False), (True, True)])
def test_the_work_that_a_flood_makes_is_bounded(macs: bool, nonces: bool) -> None:
    seconds = 3.0
    limit = DEFAULT_RATES.strangers_per_s if macs else DEFAULT_RATES.address_per_s
    limit = limit if macs or nonces else DEFAULT_RATES.stranger_per_s
    admitted = flood(Admission(), 20_000, seconds, 1, macs=macs, nonces=nonces)
    assert 0.9 * limit * seconds <= admitted <= limit * (seconds + 1) + 1


def test_a_flood_from_one_address_takes_nothing_from_a_stranger() -> None:
    admission = Admission()
    flood(admission, 20_000, 1.0, 1, macs=False, nonces=True)
    assert all(admission.admit(11 + number / 13, TWIN, NONCE) for number in range(13))


def test_a_flood_from_everywhere_takes_nothing_from_a_peer() -> None:
    admission = Admission()
    assert admission.admit(9.0, TWIN, NONCE)
    admission.prove(TWIN, NONCE)
    flood(admission, 20_000, 1.0, 1, macs=True, nonces=True)
    assert all(admission.admit(11 + number / 50, TWIN, NONCE) for number in range(50))


def test_a_stranger_is_heard_through_a_flood_from_everywhere() -> None:
    missed = 0
    for seed in range(15):
        admission = Admission()
        heard = False
        for probe in range(8):
            flood(admission, 10_000, 0.075, seed, macs=True, nonces=True)
            heard |= admission.admit(10 + 0.075 * probe, TWIN, NONCE)
        missed += not heard
    assert missed <= 2


def test_a_hundred_twins_with_one_mac_are_all_heard_at_one_instant() -> None:
    admission = Admission()
    rng = random.Random(1)
    twins = [rng.randbytes(16) for _ in range(100)]
    for probe in range(8):
        for number, nonce in enumerate(twins):
            assert admission.admit(0.075 * probe + number / 10_000, TWIN, nonce)
            admission.prove(TWIN, nonce)


def test_the_tables_are_bounded() -> None:
    admission = Admission(Rates(senders_max=50))
    for number in range(1000):
        source = Source("eth0", f"{number}")
        admission.admit(float(number), source, NONCE)
        admission.prove(source, NONCE)
    assert {len(table) for table in (admission._senders, admission._addresses, admission._peers)} == {50}


def test_a_bucket_fills_up_again_to_its_brim_and_no_further() -> None:
    buckets = Buckets(10.0, 5)
    assert sum(buckets.take(0.0, "a") for _ in range(30)) == 10
    assert sum(buckets.take(0.5, "a") for _ in range(30)) == 5
    assert sum(buckets.take(900.0, "a") for _ in range(30)) == 10
    assert buckets.take(0.0, "b")
