"""A fleet of perfect twins, booted at one instant on one bridge: how long it takes, and what it costs each of them.

    sudo python3 -m tests.lab.fleet [--release bookworm] [--deb PATH] 2 10 30

As many machines of a tree without nodeprep are booted before, and the time is also told as a multiple of theirs. Every
frame of the peers is recorded on the bridge, those that a machine sent until it was ready are counted, and the journals
are read: no two machines may have had one identity at any moment after either said READY, and none may have renewed
anything after that.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from nodeprep.peers.message import Claim, Message, Standing, decode
from nodeprep.wire import newcomers_nonce
from tests.lab.clone import Clone
from tests.lab.expectations import assert_pairwise_different, said_ready, status
from tests.lab.golden import MAC, Golden, golden_tree, left_a_lease, worst_case
from tests.lab.hostile import hearing
from tests.lab.lan import Lan
from tests.lab.traces import sweep
from tests.lab.tree import Release

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 1200.0
COLUMNS = (
    *(("twins", 6), ("all ready", 10), ("median", 8), ("plain boots", 12), ("ratio", 6)),
    *(("frames/node", 12), ("most", 6), ("CPU/node", 9), ("most", 6)),
)
HEADER = " ".join(f"{title:>{width}}" for title, width in COLUMNS) + "  renewed"


@dataclass(frozen=True)
class Result:
    """What one fleet cost."""

    twins: int
    plain_s: float
    ready_s: tuple[float, ...]
    frames: tuple[int, ...]
    cpu_s: tuple[float, ...]
    renewed: int

    def __str__(self) -> str:
        middle = sorted(self.ready_s)[len(self.ready_s) // 2]
        frames, cpu = sum(self.frames) / self.twins, sum(self.cpu_s) / self.twins
        return (
            f"{self.twins:>6} {max(self.ready_s):>8.1f} s {middle:>6.1f} s {self.plain_s:>10.1f} s"
            f" {max(self.ready_s) / self.plain_s:>6.2f} {frames:>12.1f} {max(self.frames):>6}"
            f" {cpu:>7.2f} s {max(self.cpu_s):>4.2f} s  {self.renewed}"
        )


@contextmanager
def booting(golden: Golden, count: int, folder: Path, lan: Lan) -> Iterator[list[Clone]]:
    """Switch that many machines on at one instant, and remove them afterwards."""
    machines = [Clone(f"twin-{number}", golden.layers, folder / f"{number}", lan, MAC) for number in range(count)]
    try:
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda machine: machine.boot(wait=False), machines))
        yield machines
    finally:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(Clone.remove, machines))


def plain_boots_s(bare: Golden, count: int, folder: Path) -> float:
    """Return how long that many machines without nodeprep take until the last has booted."""
    with Lan("plain") as lan:
        began_s = time.monotonic()
        with booting(bare, count, folder, lan) as machines:
            for machine in machines:
                machine.wait_booted(TIMEOUT_S)
            return time.monotonic() - began_s


def trial(golden: Golden, bare: Golden, count: int, folder: Path) -> Result:
    """Boot that many twins and return what it cost; AssertionError if an identity was had twice."""
    plain_s = plain_boots_s(bare, count, folder / "plain")
    with Lan("fleet") as lan, hearing(lan.client()) as recorded:
        began_s = time.monotonic()
        with booting(golden, count, folder, lan) as twins:
            ready_s = wait_ready(twins, began_s)
            time.sleep(10)
            for twin in twins:
                assert_settled(twin)
            assert_pairwise_different(twins)
            key = bytes.fromhex(twins[0].read("/etc/nodeprep/fleet.key").strip())
            taken_s = tuple(cpu_s(twin) for twin in twins)
            renewed = sum(status(twin)["node"]["origin"] == "twin" for twin in twins)
    messages = [decode(payload, key) for payload in recorded]
    assert_never_doubled(messages)
    return Result(count, plain_s, tuple(ready_s), until_ready(messages), taken_s, renewed)


def until_ready(messages: Sequence[Message]) -> tuple[int, ...]:
    """Return how many frames each nonce sent, the first in which it was ready being the last.

    What a ready machine presents anew (an IPv6 address of the link that is there a second later) comes after it.
    """
    sent: dict[bytes, int] = {}
    over: set[bytes] = set()
    for message in messages:
        if message.nonce not in over:
            sent[message.nonce] = sent.get(message.nonce, 0) + 1
        if message.standing is Standing.READY:
            over |= {message.nonce, newcomers_nonce(message.nonce)}
    return tuple(sent.values())


def assert_never_doubled(messages: Sequence[Message]) -> None:
    """Assert that of all that was heard, in its order, no two machines were READY with one claim."""
    holding: dict[bytes, frozenset[Claim]] = {}
    for message in messages:
        if message.standing is not Standing.READY or message.answers:
            continue  # a conflict names a part of the claims only
        holding[message.nonce] = message.claims
        for (one, first), (other, second) in combinations(holding.items(), 2):
            assert not first & second, f"{one.hex()[:8]} and {other.hex()[:8]} are both ready with one claim"


def assert_settled(twin: Clone) -> None:
    """Assert that a machine's journal tells of no renewal after READY, and that nobody disputes with it."""
    options = ("--no-pager", "-b", "-o", "json", "-t", "nodeprep")
    codes = [
        (int(entry["__MONOTONIC_TIMESTAMP"]), entry.get("NODEPREP_CODE", ""))
        for entry in map(json.loads, twin.run("journalctl", *options).stdout.splitlines())
    ]
    said_ready = min((when for when, code in codes if code == "ready"), default=None)
    assert said_ready is not None, f"{twin.name} never said that it is ready"
    late = [code for when, code in codes if when > said_ready and code in ("renewed", "dispute", "conflict")]
    assert not late, f"{twin.name}: {late}"


def wait_ready(twins: Sequence[Clone], began_s: float) -> list[float]:
    """Return when each was seen to be ready, in seconds after the first was switched on."""
    ready_s: dict[str, float] = {}
    while len(ready_s) < len(twins) and time.monotonic() < began_s + TIMEOUT_S:
        for twin in twins:
            if twin.name not in ready_s and said_ready(twin):
                ready_s[twin.name] = time.monotonic() - began_s
        time.sleep(0.5)
    missing = [twin.name for twin in twins if twin.name not in ready_s]
    assert not missing, f"not ready within {TIMEOUT_S:.0f} s: {', '.join(missing)}"
    return list(ready_s.values())


def cpu_s(twin: Clone) -> float:
    """Return the processor time that the daemon of a machine, and what it started, has taken, in seconds."""
    pid = twin.run("systemctl", "show", "-P", "MainPID", "nodeprep.service").stdout.strip()
    fields = twin.run("cat", f"/proc/{pid}/stat").stdout.rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:15])) / 100


def templates(release: Release, deb: Path, store: Path) -> tuple[Golden, Golden]:
    """Return the template of the twins, and the same without nodeprep."""
    golden = golden_tree(release, deb, store=store, name="roomy", prepare=roomy, lived=left_a_lease)
    return golden, golden_tree(release, None, store=store, name="bare")


def roomy(root: Path) -> None:
    """Furnish a template whose pool has half as many addresses again as the largest fleet needs, as a pool should."""
    worst_case(root)
    settings = root / "etc/nodeprep/nodeprep.toml"
    settings.write_text(settings.read_text().replace("10.77.0.199", "10.77.0.249"))


def main() -> None:
    """Try fleets of the sizes that are asked for, and print a row for each."""
    parser = argparse.ArgumentParser(description="boot fleets of perfect twins")
    parser.add_argument("sizes", nargs="+", type=int)
    parser.add_argument("--release", choices=[release.value for release in Release], default=Release.BOOKWORM.value)
    parser.add_argument("--deb", type=Path)
    options = parser.parse_args()
    sweep()
    built = options.deb or max((ROOT / "dist").glob("nodeprep_*_all.deb"), key=lambda path: path.stat().st_mtime_ns)
    with tempfile.TemporaryDirectory(prefix="nodeprep-fleet-") as folder:
        store = Path(folder)
        golden, bare = templates(Release(options.release), built, store / "golden")
        print(HEADER)
        for count in options.sizes:
            print(trial(golden, bare, count, store / f"fleet-{count}"), flush=True)


if __name__ == "__main__":
    main()
