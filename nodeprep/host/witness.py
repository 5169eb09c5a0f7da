"""Witnesses: what of the running system still holds the old machine ID after it was renewed live.

libsystemd caches the ID per thread, in memory only. So every process's writable
memory is searched (proc_pid_mem(5)), besides its environment and command line. Files mapped into memory do not count: a
journal keeps the ID of the machine that wrote it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

RELAYS = frozenset({"dbus-daemon", "dbus-broker"})
"""They pass on others' messages and keep remnants of them; what they themselves give is asked on the bus."""
REGION_MAX_BYTES = 256 * 1024 * 1024
CHUNK_BYTES = 4 * 1024 * 1024


def holders(machine_id: str) -> tuple[str, ...]:
    """Return "PID NAME" of each process, but this one and the bus, that holds the ID, as text or as 16 bytes."""
    needles = (machine_id.encode(), bytes.fromhex(machine_id))
    pids = sorted(int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid())
    return tuple(f"{pid} {_name(pid)}" for pid in pids if _name(pid) not in RELAYS and _holds(pid, needles))


def _holds(pid: int, needles: tuple[bytes, ...]) -> bool:
    try:
        for name in ("environ", "cmdline"):
            with open(f"/proc/{pid}/{name}", "rb") as file:
                content = file.read()
            if any(needle in content for needle in needles):
                return True
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            return any(_found(memory.fileno(), start, end, needles) for start, end in _regions(pid))
    except OSError:
        return False  # it ended meanwhile, or is a kernel thread


def _regions(pid: int) -> Iterator[tuple[int, int]]:
    """Yield the private writable regions that no file is mapped into (proc_pid_maps(5))."""
    with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as maps:
        for line in maps:
            span, permissions, _offset, _device, inode, *_path = line.split(None, 5)
            if inode == "0" and permissions.startswith("rw") and permissions.endswith("p"):
                start, end = (int(part, 16) for part in span.split("-"))
                if end - start <= REGION_MAX_BYTES:
                    yield start, end


def _found(memory: int, start: int, end: int, needles: tuple[bytes, ...]) -> bool:
    tail = b""
    for offset in range(start, end, CHUNK_BYTES):
        try:
            chunk = tail + os.pread(memory, min(CHUNK_BYTES, end - offset), offset)
        except OSError:
            return False  # guard pages, [vvar]
        if any(needle in chunk for needle in needles):
            return True
        tail = chunk[-max(map(len, needles)) :]
    return False


def _name(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return "?"
