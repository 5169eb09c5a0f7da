"""Running programs to their end, and asking systemctl what runs."""

from __future__ import annotations

import subprocess

from nodeprep.errors import HostError

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


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
    return _those(units, "is-active", ("active", "reloading"))


def starting_units(units: frozenset[str]) -> frozenset[str]:
    """Return those of the units whose start is under way or due, or none where systemctl does not answer."""
    names = sorted(units)
    try:
        asked = ("systemctl", "show", "--property=ActiveState", "--property=Job", "--", *names)
        done = subprocess.run(asked, capture_output=True, timeout=10, check=False, text=True)
    except (OSError, subprocess.TimeoutExpired):
        return frozenset()
    told = done.stdout.strip().split("\n\n")  # a block for each, in the order asked
    state = {name: set(block.splitlines()) for name, block in zip(names, told, strict=False)}
    return frozenset(
        name
        for name, lines in state.items()
        if "ActiveState=activating" in lines
        or ("ActiveState=inactive" in lines and any(line.startswith("Job=") and line != "Job=" for line in lines))
    )


def enabled_units(units: frozenset[str]) -> frozenset[str]:
    """Return those of the units that are there and enabled, or none where systemctl does not answer."""
    return frozenset().union(*(_those(frozenset({unit}), "is-enabled", ("enabled",)) for unit in units))


def _those(units: frozenset[str], question: str, states: tuple[str, ...]) -> frozenset[str]:
    names = sorted(units)
    if not names:
        return frozenset()
    try:
        done = subprocess.run(("systemctl", question, *names), capture_output=True, timeout=10, check=False, text=True)
    except (OSError, subprocess.TimeoutExpired):
        return frozenset()
    return frozenset(name for name, state in zip(names, done.stdout.split(), strict=False) if state in states)
