"""Random seed: what the kernel's pool is seeded with at the next boot (systemd-random-seed.service(8))."""

from __future__ import annotations

from hashlib import sha256

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Finding, Kind, Reading, Stage
from nodeprep.reading import removals
from nodeprep.steps import Action, Fresh, Situation, WriteFile

PATH = "/var/lib/systemd/random-seed"
LOADERS = tuple(f"{folder}/loader/random-seed" for folder in ("/boot", "/boot/efi", "/efi"))


def observe(machine: MachineView) -> Reading:
    """Return a digest of the seed; the seed itself is a secret."""
    seed = machine.read_bytes(PATH)
    return frozenset({sha256(seed).hexdigest()}) if seed else frozenset()


def plan(finding: Finding, fresh: Fresh, situation: Situation) -> tuple[Action, ...]:
    """Write a fresh one, before the kernel is given the old."""
    return (WriteFile(PATH, fresh.seed, 0o600),)


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Take it out of the image, and the boot loader's as well."""
    return removals(machine, (PATH, *LOADERS))


ARTEFACT = Artefact(
    name="random-seed",
    title="random seed",
    reason="Clones start from the same entropy.",
    kind=Kind.A,
    stage=Stage.EARLY,
    observe=observe,
    plan=plan,
    volatile=True,
    confidential=True,
    seal=seal,
)
