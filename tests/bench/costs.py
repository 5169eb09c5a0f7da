"""What is measured, against what, the goal, and what fails a run: the table that docs/performance.md shows."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Measure(NamedTuple):
    """One row. `limit` is what a run fails at: the goal, with room for a machine that does other things too.

    A row without a goal says of what another one is made.
    """

    what: str
    against: str
    unit: str
    goal: float | None
    limit: float


class Cost(Measure, Enum):
    """Every row, in the order in which it is shown."""

    EARLY = "the early run, unchanged boot", "`python3 -I -S -c pass`", "x", 1.6, 2.5
    EARLY_UNIT = "the early run with its sandbox, as a unit", "its unit, with `python3 -I -S -c pass`", "x", 1.25, 2.0
    CLOUD_INIT = "the early run, unchanged boot", "cloud-init-local.service, same boot", "x", 0.1, 0.5
    BOOT = "time to multi-user.target, unchanged boot", "the same tree without nodeprep", "x", 1.05, 4.0
    START = "start of the service to READY, alone", "its probe window, 0.75 s", "x", 1.4, 2.5
    WAIT_SIMULATED = "longest wait for peers, simulated, alone", "", "s", 0.8, 0.8
    WAIT_SIMULATED_BESIDE = "longest wait for peers, simulated, beside 20", "", "s", 0.8, 0.8
    WAIT = "wait for peers until ready, booted, alone", "", "s", 0.8, 0.8
    WAIT_BESIDE = "wait for peers until ready, booted, beside one", "", "s", 0.8, 0.8
    TWINS = "three perfect twins, power-on to all ready", "three boots without nodeprep", "x", 2.5, 9.0
    TWINS_FIRST = "of that, until the first is, which renews nothing", "those three boots", "x", None, 7.0
    TWINS_CPU = "processor time of all until then", "of those three boots", "x", 4.0, 8.0
    HOST_KEYS = "of that, `ssh-keygen -A` once", "one of those boots", "x", None, 8.0
    FLEET = "a hundred perfect twins, power-on to all ready", "a hundred boots without nodeprep", "x", 2.0, 14.0
    FRAMES = "frames a node until ready, 100 twins, booted", "2 twins, booted", "x", 1.5, 5.0
    FRAMES_SIMULATED = "frames a node until ready, 100 twins, simulated", "2 twins, simulated", "x", 1.5, 1.5
    MEMORY = "memory of the daemon, ready (PSS)", "NetworkManager's there", "x", 1.5, 3.0
    WAKE_UPS = "wake-ups of the daemon a minute, ready, quiet", "", "", 2.0, 8.0
    STATUS = "`nodeprep status`", "`python3 -I -S -c pass`", "x", 2.5, 4.0
    CROWD = "one daemon among 1 000 that announce", "a core", "%", 1.0, 2.0
    SEAL = "`nodeprep seal --root`", "virt-sysprep on that tree as a disk, without KVM", "x", 0.05, 0.2
