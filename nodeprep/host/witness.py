"""Witnesses: what of the running system still holds the old machine ID after it was renewed live.

libsystemd caches the ID per thread, in memory only. So every process's writable
memory is searched (proc_pid_mem(5)), besides its environment and command line. Files mapped into memory do not count: a
journal keeps the ID of the machine that wrote it.

Who may do that may read every secret of the machine. So it is not the daemon, which listens to the network, but the
program of a unit of its own, which has no network and writes nothing: the ID is its input, and its output the answer.
Both are files, since a name, an argument or a message would put the ID into the memory of PID 1 or of the bus.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator

UNIT = "nodeprep-witness.service"
QUESTION = "/run/nodeprep/witness.question"
ANSWER = "/run/nodeprep/witness.answer"
"""As the unit names them; the daemon makes both, for root alone, before it starts the unit."""
ASKER = "nodeprep.service"
"""Its processes hold the old ID because they look for it."""
PROC = "/proc"
PAGEMAP = "pagemap"
RELAYS = frozenset({"dbus-daemon", "dbus-broker"})
"""They pass on others' messages and keep remnants of them; what they themselves give is asked on the bus."""
REGION_MAX_BYTES = 256 * 1024 * 1024
CHUNK_BYTES = 1024 * 1024
ID_BYTES = 16
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
ENTRY_BYTES = 8
FLAGS_AT = ENTRY_BYTES - 1 if sys.byteorder == "little" else 0
"""Which byte of a page's entry in its pagemap has the highest bits (pagemap.rst of the kernel's documentation)."""
TOUCHED = bytes(flags & 0xC0 != 0 for flags in range(256))
"""By that byte: whether the page is present, or swapped out."""


def main() -> int:
    """Search for the ID on standard input; write who holds it, and at last how many processes were looked at."""
    found, looked_at = holders(sys.stdin.read().strip())
    sys.stdout.write("".join(f"{line}\n" for line in (*found, looked_at)))
    return 0


def answered(answer: str) -> tuple[str, ...] | None:
    """Return who holds the ID by an answer of `main`, or None where it is not whole or nothing was looked at."""
    *found, looked_at = answer.split("\n")[:-1] or [""]
    return tuple(found) if looked_at.isdecimal() and int(looked_at) else None


def holders(machine_id: str) -> tuple[tuple[str, ...], int]:
    """Return "PID NAME" of each process that holds the ID, as text or as 16 bytes, and how many were looked at.

    Left out are this process, the asker's and the bus. One that may not be read is named too: whether it holds the ID
    is not known. Raises ValueError where that is no ID.
    """
    needles = (machine_id.encode(), bytes.fromhex(machine_id))
    if len(needles[1]) != ID_BYTES:
        raise ValueError(f"a machine ID has {ID_BYTES} bytes")
    found: list[str] = []
    looked_at = 0
    for pid in sorted(int(name) for name in os.listdir(PROC) if name.isdigit() and int(name) != os.getpid()):
        name = _name(pid)
        if name in RELAYS or _is_askers(pid):
            continue
        try:
            if _holds(pid, needles):
                found.append(f"{pid} {name}")
        except PermissionError:
            found.append(f"{pid} {name} (cannot be read)")
        except OSError:
            continue  # it ended meanwhile
        looked_at += 1
    return tuple(found), looked_at


def _holds(pid: int, needles: tuple[bytes, ...]) -> bool:
    for name in ("environ", "cmdline"):
        with open(f"{PROC}/{pid}/{name}", "rb") as file:
            content = file.read()
        if any(needle in content for needle in needles):
            return True
    with open(f"{PROC}/{pid}/mem", "rb", buffering=0) as memory:
        return any(_found(memory.fileno(), start, end, needles) for start, end in _touched(pid, _regions(pid)))


def _is_askers(pid: int) -> bool:
    """Whether a process is in the cgroup of the asker's unit, or below it (cgroups(7))."""
    try:
        with open(f"{PROC}/{pid}/cgroup", encoding="utf-8", errors="replace") as file:
            return any(ASKER in line.rstrip("\n").split("/") for line in file)
    except OSError:
        return False


def _regions(pid: int) -> Iterator[tuple[int, int]]:
    """Yield the private writable regions that no file is mapped into (proc_pid_maps(5))."""
    with open(f"{PROC}/{pid}/maps", encoding="utf-8", errors="replace") as maps:
        for line in maps:
            span, permissions, _offset, _device, inode, *_path = line.split(None, 5)
            if inode == "0" and permissions.startswith("rw") and permissions.endswith("p"):
                start, end = (int(part, 16) for part in span.split("-"))
                if end - start <= REGION_MAX_BYTES:
                    yield start, end


def _touched(pid: int, regions: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield the runs of pages that the process ever touched; of a region about which that cannot be told, the whole.

    The others hold nothing, and are most of it (a thread's stack is 8 MiB). To read them would have the kernel map a
    page of zeros for each.
    """
    try:
        pagemap = os.open(f"{PROC}/{pid}/{PAGEMAP}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # a kernel without CONFIG_PROC_PAGE_MONITOR
        yield from regions
        return
    try:
        for start, end in regions:
            pages = (end - start) // PAGE_BYTES
            entries = os.pread(pagemap, pages * ENTRY_BYTES, start // PAGE_BYTES * ENTRY_BYTES)
            touched = entries[FLAGS_AT::ENTRY_BYTES].translate(TOUCHED)
            if len(touched) < pages:
                yield start, end
                continue
            first = touched.find(1)
            while first >= 0:
                after = touched.find(0, first)
                after = pages if after < 0 else after
                yield start + first * PAGE_BYTES, start + after * PAGE_BYTES
                first = touched.find(1, after)
    finally:
        os.close(pagemap)


def _found(memory: int, start: int, end: int, needles: tuple[bytes, ...]) -> bool:
    more = max(map(len, needles)) - 1  # of the next chunk, for what lies across the boundary
    for offset in range(start, end, CHUNK_BYTES):
        try:
            chunk = os.pread(memory, min(CHUNK_BYTES + more, end - offset), offset)
        except OSError:
            return False  # guard pages, [vvar]
        if any(needle in chunk for needle in needles):
            return True
    return False


def _name(pid: int) -> str:
    try:
        with open(f"{PROC}/{pid}/comm", encoding="ascii", errors="backslashreplace") as file:
            return file.read().strip()
    except OSError:
        return "?"
