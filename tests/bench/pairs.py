"""Pairs: two commands run in turn in a root directory, so that whatever slows one down slows the other down as well.

This file is also the program that runs them there. It is fed to the Python of that root: a process that small starts
others fast, and neither its own start nor chroot(8) is measured.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

BARE = ("/usr/bin/python3", "-I", "-S", "-c", "pass")
"""The least that any program in Python can cost."""
PAIRS = 40
WARMING_PAIRS = 3
OUTPUT = "/run/bench-output"


def ratio(root: Path, command: Sequence[str]) -> float:
    """Return how many times as long as a bare interpreter a command takes: the median of the ratios of all pairs."""
    harness = ("/usr/bin/python3", "-I", "-S", "-", str(PAIRS), str(len(BARE)), *BARE, *command)
    source = Path(__file__).read_text()
    done = subprocess.run(
        ("chroot", str(root), *harness), input=source, capture_output=True, text=True, timeout=60.0, check=False
    )
    assert done.returncode == 0, done.stderr
    pairs = [line.split() for line in done.stdout.splitlines()]
    assert len(pairs) == PAIRS
    return statistics.median(float(second) / float(first) for first, second in pairs)


def elapsed_s(argv: list[str], output: int) -> float:
    """Run a command to its end and return the seconds that it took; SystemExit if it fails."""
    begin = time.perf_counter()
    pid = os.posix_spawn(argv[0], argv, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, output, 1)])
    _, status = os.waitpid(pid, 0)
    took = time.perf_counter() - begin
    if status:
        raise SystemExit(f"{' '.join(argv)}: exit {os.waitstatus_to_exitcode(status)}")
    return took


def main() -> None:
    """Print a line for each pair: the seconds of the first command and those of the second."""
    count, length = int(sys.argv[1]), int(sys.argv[2])
    words = sys.argv[3:]
    output = os.open(OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for number in range(WARMING_PAIRS + count):
        pair = [elapsed_s(argv, output) for argv in (words[:length], words[length:])]
        if number >= WARMING_PAIRS:
            print(*pair)


if __name__ == "__main__":
    main()
