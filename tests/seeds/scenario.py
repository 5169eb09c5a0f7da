"""Scenarios: what happens to a small fleet, drawn from one number.

python -m tests.seeds 12345        # what came of that one
"""

from __future__ import annotations

from dataclasses import dataclass

from nodeprep.peers.message import Standing
from tests.seeds.fleet import STEPS, Double, Fleet, Machine, identity, without_codec

LOSSES = (0.0, 0.0, 0.1, 0.3, 0.6)
DISTURBED_S = 6.0
"""Within so many seconds everything happens; from then on the segment is whole, and as lossy as before."""
CONVERGE_S = 60.0
REPORT_S = 20_000.0
"""A quiet machine speaks every 512 s, and at 60 % of loss it takes some of its words until both have proven it."""


@dataclass(frozen=True)
class Outcome:
    """What came of a scenario."""

    seed: int
    loss: float
    machines: int
    joined: bool
    broken: tuple[str, ...]
    missed: tuple[Double, ...]
    """Doubles that only loss can explain."""
    unready: tuple[int, ...]
    unreported: tuple[Double, ...]


def play(seed: int, *, routed: bool = False) -> Outcome:
    """Return what came of the scenario of that number. routed: all are configured peers beyond routers."""
    with without_codec():
        fleet = Fleet(seed, loss=LOSSES[seed % len(LOSSES)])
        fleet.is_routed = routed
        rng = fleet.rng
        fleet._duplication = rng.choice((0.0, 0.0, 0.1))
        delay_max_s = rng.choice((0.002, 0.004, 0.02, 0.06))
        fleet._delays = [delay_max_s * (step + 1) / len(fleet._delays) for step in range(len(fleet._delays))]
        count = rng.choice((2, 2, 2, 3, 3, 4, 5))
        joined = rng.random() < 0.1
        for number in range(count):
            template = number < 2 or rng.random() < 0.7
            standing = Standing.JOINED if joined and number == 0 else Standing.PROBING
            machine = fleet.add(identity(0 if template else number), standing)
            late = rng.random() < 0.3
            fleet.at(rng.uniform(0.0, 3.0) if late else rng.uniform(0.0, 0.05), lambda m=machine: fleet.boot(m))  # type: ignore[misc]
        for machine in fleet.machines:
            if rng.random() < 0.15:
                fleet.at(rng.uniform(0.1, 4.0), lambda m=machine: fleet.crash(m))  # type: ignore[misc]
            if rng.random() < 0.1:
                fleet.at(rng.uniform(0.1, 4.0), lambda m=machine: fleet.boot(m))  # type: ignore[misc]
        if rng.random() < 0.25:
            sides = [rng.randrange(2) for _ in range(count)]
            fleet.at(rng.uniform(0.0, 2.0), lambda: fleet.part(sides))
            fleet.at(rng.uniform(2.0, DISTURBED_S), fleet.merge)
        fleet.run(DISTURBED_S)
        while fleet.unready and fleet.now < CONVERGE_S:
            fleet.run(fleet.now + 1.0)
        unready = tuple(machine.number for machine in fleet.unready)
        while fleet.unreported and fleet.now < REPORT_S:
            fleet.run(fleet.now + 10.0)
        return Outcome(
            seed=seed,
            loss=fleet.loss,
            machines=count,
            joined=joined,
            broken=tuple(fleet.broken),
            missed=tuple(double for double in fleet.doubles if not double.apart),
            unready=unready,
            unreported=tuple(fleet.unreported),
        )


def rotate(seed: int, *, left_out: bool = False) -> Outcome:
    """Return what came of a fleet that changes its key, a step every ten seconds, while copies of its nodes boot.

    left_out: the copies come from an image whose key is not the fleet's any more, nor was it a step ago.
    """
    with without_codec():
        fleet = Fleet(seed, loss=0.0, duplication=0.1)
        rng = fleet.rng
        nodes = [fleet.add(identity(number)) for number in range(1, rng.choice((3, 4, 6)))]
        for machine in nodes:
            fleet.ready_before(machine)
            for step in (1, 2, 3):
                fleet.at(step * 10.0 + rng.uniform(0.0, 8.0), lambda m=machine, s=step: fleet.rekey(m, STEPS[s]))  # type: ignore[misc]
        copies: list[Machine] = []
        for _ in range(rng.choice((2, 4))):
            copy = fleet.add(rng.choice(nodes).claims)
            copies.append(copy)
            boot_s = rng.uniform(0.0, 45.0)
            # As from an image that was made a step ago at most; its own steps are those of the fleet.
            first = 0 if left_out else max(0, min(3, int(boot_s // 10) - rng.choice((0, 1))))
            copy.keyring = STEPS[first]
            fleet.at(boot_s, lambda m=copy: fleet.boot(m))  # type: ignore[misc]
            for step in () if left_out else range(first + 1, 4):
                when_s = max(step * 10.0 + 8.0, boot_s + 0.5) + rng.uniform(0.0, 1.5)
                fleet.at(when_s, lambda m=copy, s=step: fleet.rekey(m, STEPS[s]))  # type: ignore[misc]
        fleet.run(CONVERGE_S)
        unready = tuple(machine.number for machine in fleet.unready)
        return Outcome(
            seed=seed,
            loss=0.0,
            machines=len(fleet.machines),
            joined=False,
            broken=tuple(fleet.broken),
            missed=tuple(fleet.doubles),
            unready=unready,
            unreported=() if left_out else tuple(fleet.unreported),
        )
