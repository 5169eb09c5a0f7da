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


def active_units(units: frozenset[str]) -> frozenset[str]:
    """Return those of the units that are active, or none where systemctl does not answer."""
    names = sorted(units)
    if not names:
        return frozenset()
    try:
        done = subprocess.run(
            ("systemctl", "is-active", *names), capture_output=True, timeout=10, check=False, text=True
        )
    except (OSError, subprocess.TimeoutExpired):
        return frozenset()
    return frozenset(
        n for n, state in zip(names, done.stdout.split(), strict=False) if state in ("active", "reloading")
    )
