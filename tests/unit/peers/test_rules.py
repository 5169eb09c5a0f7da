"""Who keeps."""

from __future__ import annotations

import pytest

from nodeprep.peers.message import Standing
from nodeprep.peers.rules import Outcome, judge
from tests.unit.peers.single import HIGH, LOW


@pytest.mark.parametrize(
    ("own", "other", "outcome"),
    [
        ((Standing.READY, HIGH), (Standing.PROBING, LOW), Outcome.KEEP),
        ((Standing.READY, HIGH), (Standing.JOINED, LOW), Outcome.KEEP),
        ((Standing.JOINED, HIGH), (Standing.PROBING, LOW), Outcome.KEEP),
        ((Standing.PROBING, LOW), (Standing.PROBING, HIGH), Outcome.KEEP),
        ((Standing.PROBING, LOW), (Standing.JOINED, HIGH), Outcome.YIELD),
        ((Standing.READY, LOW), (Standing.READY, HIGH), Outcome.DISPUTE),
        ((Standing.JOINED, LOW), (Standing.JOINED, HIGH), Outcome.DISPUTE),
    ],
)
def test_exactly_one_of_two_holders_keeps_unless_both_dispute(
    own: tuple[Standing, bytes], other: tuple[Standing, bytes], outcome: Outcome
) -> None:
    opposite = {Outcome.KEEP: Outcome.YIELD, Outcome.YIELD: Outcome.KEEP, Outcome.DISPUTE: Outcome.DISPUTE}
    assert judge(own, other) is outcome
    assert judge(other, own) is opposite[outcome]
