"""Pairs: two commands run in turn in a root directory, so that whatever slows the machine down slows both.

This file is also the program that runs them: it is fed to the Python of that root, whose own start is not measured.
"""

from __future__ import annotations

import os
import sys
import time


def elapsed_s(argv: list[str], output: int) -> float:
    """Run a command to its end and return the seconds it took; SystemExit if it fails."""
    redirected = [(os.POSIX_SPAWN_DUP2, output, 1)]
    begin = time.perf_counter()
    pid = os.posix_spawn(argv[0], argv, os.environ, file_actions=redirected)
    _, status = os.waitpid(pid, 0)
    took = time.perf_counter() - begin
    if status:
        raise SystemExit(f"{argv}: exit {os.waitstatus_to_exitcode(status)}")
    return took


def main() -> None:
    """Print a line for each pair: how long the first command took, and the second, in seconds."""
    count, length, *words = sys.argv[1:]
    first, second = words[: int(length)], words[int(length) :]
    nowhere = os.open("/run/bench-output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for number in range(int(count) + 2):
        pair = (elapsed_s(first, nowhere), elapsed_s(second, nowhere))
        os.lseek(nowhere, 0, os.SEEK_SET)
        if number >= 2:  # the first two filled the caches
            print(*pair)


if __name__ == "__main__":
    main()
