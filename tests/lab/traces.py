"""Traces: names of all the lab puts into the kernel; no two processes share one, and none outlives its owner.

A name is `nplab-PID-N-LABEL`: PID is the process that owns it, N a counter in that process. Network namespaces,
overlay mounts and control groups bear such names, so what a killed run left behind can be told from what a parallel
worker is using, and `sweep` removes the first only.
"""

import contextlib
import itertools
import os
import re
import signal
import subprocess
import time
from pathlib import Path

PREFIX = "nplab"
NETNS = Path("/run/netns")
NSPAWN = Path("/run/systemd/nspawn")
_NAME = re.compile(rf"{PREFIX}-(?P<pid>\d+)-\d+-[a-z0-9-]+")
_counter = itertools.count(1)


class LabError(Exception):
    """The lab could not do what a test asked of it."""


def unique(label: str) -> str:
    """Return a name that no other process and no earlier call in this one uses."""
    tail = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-") or "x"
    return f"{PREFIX}-{os.getpid()}-{next(_counter)}-{tail[:24]}"


def administer(*argv: str, timeout_s: float = 30.0, standard_input: str | None = None) -> str:
    """Run a program of the host and return its standard output; LabError with its standard error if it fails."""
    try:
        done = subprocess.run(
            argv, input=standard_input, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as expired:
        raise LabError(f"{' '.join(argv)}: no end within {timeout_s} s") from expired
    if done.returncode:
        raise LabError(f"{' '.join(argv)}: exit {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def hierarchies() -> tuple[Path, ...]:
    """Return the mount points of the unified and the systemd control group hierarchy, the unified one first."""
    unified: list[Path] = []
    named: list[Path] = []
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, options = line.split(" ")[:4]
        if kind == "cgroup2":
            unified.append(Path(where))
        elif kind == "cgroup" and "name=systemd" in options.split(","):
            named.append(Path(where))
    if not unified:
        raise LabError("no cgroup2 file system is mounted; systemd-nspawn cannot give a machine its own group")
    return (*unified[:1], *named[:1])


def members(group: Path) -> tuple[int, ...]:
    """Return the processes in a control group and in all groups below it."""
    pids: list[int] = []
    for folder, _, _ in os.walk(group):  # which, unlike rglob, bears that groups vanish meanwhile
        with contextlib.suppress(OSError):
            pids.extend(int(word) for word in Path(folder, "cgroup.procs").read_text().split())
    return tuple(dict.fromkeys(pids))


def remove_group(name: str, timeout_s: float = 5.0) -> None:
    """Kill all that is left in the groups of that name, which is the lab's alone, and remove them with all below.

    LabError if processes stay in one.
    """
    deadline = time.monotonic() + timeout_s
    for hierarchy in hierarchies():
        top = hierarchy / name
        while top.exists():
            for pid in members(top):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for folder, _, _ in os.walk(top, topdown=False):
                with contextlib.suppress(OSError):
                    Path(folder).rmdir()
            if not top.exists():
                break
            if time.monotonic() > deadline:
                raise LabError(f"{top} is still in use by {members(top)}")
            time.sleep(0.02)


def forget_machine(name: str) -> None:
    """Remove what systemd-nspawn keeps under a machine's name; it refuses to where /run is no tmpfs."""
    for folder in NSPAWN.glob(f"*/{name}"):
        with contextlib.suppress(OSError):
            folder.rmdir()


def unmount(point: Path, timeout_s: float = 5.0) -> None:
    """Unmount, waiting for the last user to leave; detach it if one never does."""
    deadline = time.monotonic() + timeout_s
    while os.path.ismount(point):
        lazily = time.monotonic() > deadline
        with contextlib.suppress(LabError):
            administer("umount", *(("--lazy",) if lazily else ()), str(point))
        if lazily:
            return
        if os.path.ismount(point):
            time.sleep(0.05)


def _mounts() -> tuple[tuple[str, Path], ...]:
    found = []
    for line in Path("/proc/self/mounts").read_text().splitlines():
        source, where, kind = line.split(" ")[:3]
        if kind == "overlay" and _NAME.fullmatch(source):
            found.append((source, Path(where)))
    return tuple(reversed(found))


def _entries(folder: Path) -> tuple[str, ...]:
    names = os.listdir(folder) if folder.is_dir() else []
    return tuple(name for name in names if _NAME.fullmatch(name))


def left_by(pid: int) -> tuple[str, ...]:
    """List what a process has in the kernel now: its namespaces, mounts, groups, and the processes in them."""
    own = f"{PREFIX}-{pid}-"
    traces = [f"netns {name}" for name in _entries(NETNS)]
    traces += [f"mount {source} {where}" for source, where in _mounts()]
    for kept in NSPAWN.glob("*"):
        traces += [f"machine {kept / name}" for name in _entries(kept)]
    for hierarchy in hierarchies():
        for name in _entries(hierarchy):
            traces.append(f"group {hierarchy / name}")
            traces += [f"process {member} of {name}" for member in members(hierarchy / name)]
    return tuple(trace for trace in traces if own in trace)


def _orphaned(name: str) -> bool:
    match = _NAME.fullmatch(name)
    return match is not None and not Path("/proc", match["pid"]).exists()


def sweep() -> None:
    """Remove what runs that were killed left behind; what a living process owns is not touched."""
    for hierarchy in hierarchies():
        for name in filter(_orphaned, _entries(hierarchy)):
            with contextlib.suppress(LabError):
                remove_group(name)
    for kept in NSPAWN.glob("*"):
        for name in filter(_orphaned, _entries(kept)):
            forget_machine(name)
    for source, where in _mounts():
        if _orphaned(source):
            unmount(where, timeout_s=1.0)
    for name in filter(_orphaned, _entries(NETNS)):
        with contextlib.suppress(LabError):
            administer("ip", "netns", "delete", name)
