"""Running programs to their end, and asking systemctl what runs."""

from __future__ import annotations

import os
import subprocess

from nodeprep.errors import HostError

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
ALIASES = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/run/systemd/generator",
    "/run/systemd/generator.late",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
)
"""Where a unit's other names are links to it (systemd.unit(5)), what an init script provides among them; by those it is
not listed."""


def run(argv: tuple[str, ...], timeout_s: float) -> str:
    """Return the standard output of a program that exits with 0.

    Raises HostError with the program's own words otherwise, or when it is not there or takes longer than timeout_s.
    """
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
            text=True,
            errors="replace",
            env={"PATH": PATH, "LC_ALL": "C.UTF-8"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HostError(f"{' '.join(argv)}: {error}") from error
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip().splitlines()
        raise HostError(f"{' '.join(argv)}: exit {done.returncode}: {words[-1] if words else 'no message'}")
    return done.stdout


def attempt(argv: tuple[str, ...], timeout_s: float) -> bool:
    """Run a program whose failure is no fault, and return whether it succeeded."""
    try:
        run(argv, timeout_s)
    except HostError:
        return False
    return True


def is_stopping() -> bool:
    """Whether the machine is shut down, or boots again (systemctl(1), is-system-running)."""
    try:
        done = subprocess.run(
            ("systemctl", "is-system-running"), capture_output=True, timeout=5, check=False, text=True
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.stdout.strip() == "stopping"


def active_units(units: frozenset[str]) -> frozenset[str]:
    """Return those of the units that are active, or none where systemctl does not answer."""
    return active_and_starting_units(units)[0]


def active_and_starting_units(units: frozenset[str]) -> tuple[frozenset[str], frozenset[str]]:
    """Return those of the units that are active, and those whose start is under way or due, all of one moment.

    None where systemctl does not answer. Of two questions, a unit that comes up in between would be in neither answer.
    """
    names = sorted(_loaded(units))
    if not names:
        return frozenset(), frozenset()
    told = _told(("show", "--property=ActiveState", "--property=Job", "--", *names)).strip().split("\n\n")
    active, starting = set(), set()
    for name, block in zip(names, told, strict=False):  # a block for each, in the order asked
        state = dict(line.split("=", 1) for line in block.splitlines())
        match state.get("ActiveState"):
            case "active" | "reloading":
                active.add(name)
            case "activating":
                starting.add(name)
            case "inactive" if state.get("Job"):
                starting.add(name)
            case _:
                pass
    return frozenset(active), frozenset(starting)


def _loaded(units: frozenset[str]) -> frozenset[str]:
    """Return those of the units that systemd has loaded, as everything is that runs, or may have.

    Asked for the state of one that it has not, it looks through all its folders for it, and most of what artefacts name
    is not installed: that was most of what the question cost.
    """
    if not units:
        return units
    listed = _told(("list-units", "--all", "--full", "--plain", "--no-legend", "--", *sorted(units))).splitlines()
    ids = {line.split(maxsplit=1)[0] for line in listed if line.strip()}
    aliases = {unit for unit in units - ids if any(os.path.islink(f"{folder}/{unit}") for folder in ALIASES)}
    return units & ids | aliases


def enabled_units(units: frozenset[str]) -> frozenset[str]:
    """Return those of the units that are there and enabled, or none where systemctl does not answer."""
    return frozenset(unit for unit in units if _told(("is-enabled", unit)).strip() == "enabled")


def _told(words: tuple[str, ...]) -> str:
    """Return what systemctl prints, whatever it exits with, or "" where it does not answer."""
    try:
        return subprocess.run(
            ("systemctl", *words), capture_output=True, timeout=10, check=False, text=True, errors="replace"
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
