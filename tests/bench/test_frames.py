"""How many frames it takes until all are ready: what the protocol needs, on a segment on which nobody is slow."""

from __future__ import annotations

import statistics

from nodeprep.peers.message import decode
from tests.bench.conftest import Measured
from tests.bench.costs import Cost
from tests.lab.fleet import until_ready
from tests.unit.peers.segment import FLEET_KEY, Segment

SEGMENTS = {2: 20, 100: 2}
SETTLED_S = 40.0


def frames(twins: int, seed: int) -> float:
    """Return how many frames each of perfect twins sends on average, the first in which it is ready being the last."""
    segment = Segment(seed)
    for _ in range(twins):
        segment.boot()
    segment.run(SETTLED_S)
    assert len(segment.ready()) == twins
    assert not segment.shared()
    return sum(until_ready([decode(payload, FLEET_KEY) for _, _, payload in segment.frames])) / twins


def test_a_hundred_twins_say_hardly_more_each_than_two(measured: Measured) -> None:
    few, many = (statistics.mean(frames(twins, seed) for seed in range(SEGMENTS[twins])) for twins in (2, 100))
    measured(Cost.FRAMES_SIMULATED, many / few)
