"""Probing: how many probes there are, and when."""

from __future__ import annotations

import pytest

from nodeprep.peers.probing import LATE_MAX_S, WAYS, Probing
from nodeprep.peers.rules import DEFAULT_TIMING

BEGAN_S = 100.0


def times_s(probing: Probing, extended_at: int | None = None, late_s: float = 0.0) -> list[float]:
    """Return when each probe is sent, and the end; extended_at: after how many of them a contest is kept.

    late_s: how late the clock rings each time.
    """
    found = []
    while True:
        now = probing.due_s + late_s
        found.append(now)
        if not probing.step(now):
            return found
        if len(found) == extended_at:
            probing.extend(now)


@pytest.mark.parametrize(("seeking", "probes"), [(False, DEFAULT_TIMING.probe_num), (True, DEFAULT_TIMING.seek_num)])
def test_probes_come_at_intervals_and_a_wait_after_the_last(seeking: bool, probes: int) -> None:
    probing = Probing(DEFAULT_TIMING)
    probing.start(BEGAN_S, 0.5, seeking=seeking)
    interval_s = DEFAULT_TIMING.probe_interval_s
    first_s = BEGAN_S + 0.5 * DEFAULT_TIMING.jitter_max_s
    expected = [first_s + number * interval_s for number in range(probes + 1)]
    expected[-1] += DEFAULT_TIMING.last_wait_s
    assert times_s(probing) == pytest.approx(expected)


def test_a_contest_that_is_kept_extends_the_probing_but_not_beyond_its_limit() -> None:
    probing = Probing(DEFAULT_TIMING)
    probing.start(BEGAN_S, 0.0)
    plain = times_s(probing)
    probing.start(BEGAN_S, 0.0)
    last = DEFAULT_TIMING.probe_num
    assert len(times_s(probing, extended_at=last)) == len(plain) + DEFAULT_TIMING.extension_num
    probing.start(BEGAN_S, 0.0)
    probing.began_s -= DEFAULT_TIMING.probing_max_s
    assert len(times_s(probing, extended_at=last)) == len(plain)


@pytest.mark.parametrize(("late_s", "counted_s"), [(0.04, 0.0), (0.25, 0.2), (5.0, LATE_MAX_S)])
def test_who_is_late_himself_waits_longer_for_the_others(late_s: float, counted_s: float) -> None:
    probing = Probing(DEFAULT_TIMING)
    probing.start(BEGAN_S, 0.0)
    *_, last_s, end_s = times_s(probing, late_s=late_s)
    plain_s = DEFAULT_TIMING.probe_interval_s + DEFAULT_TIMING.last_wait_s
    assert end_s - late_s - last_s == pytest.approx(plain_s + WAYS * counted_s)
    probing.start(BEGAN_S, 0.0)
    *_, last_s, end_s = times_s(probing)
    assert end_s - last_s == pytest.approx(plain_s), "it is measured anew each time"
