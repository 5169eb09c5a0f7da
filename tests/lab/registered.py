"""A fleet of perfect twins that hear nothing of each other, booted at one instant: only a registry tells them apart.

    sudo python3 -m tests.lab.registered [--release bookworm] [--deb PATH] 8 64

All have one MAC, one address and one disk, each on a segment of its own. All must become ready, with the numbers from 1
on in their names, and no two may have claimed or have anything in common.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from tests.lab.clone import Clone
from tests.lab.estate import ROUTED, Estate, furnish, register
from tests.lab.expectations import assert_whole, status
from tests.lab.fleet import ROOT, assert_settled, cpu_s, wait_ready
from tests.lab.golden import MAC, Golden, golden_tree, left_a_lease
from tests.lab.identity import identity, shared
from tests.lab.traces import sweep
from tests.lab.tree import Release

HEADER = f"{'twins':>6} {'all ready':>10} {'median':>8} {'CPU/node':>9} {'most':>6} {'revisions':>10}  {'rounds':>6}"


@dataclass(frozen=True)
class Result:
    """What one fleet cost."""

    twins: int
    ready_s: tuple[float, ...]
    cpu_s: tuple[float, ...]
    revisions: int
    rounds: int

    def __str__(self) -> str:
        middle = sorted(self.ready_s)[len(self.ready_s) // 2]
        return (
            f"{self.twins:>6} {max(self.ready_s):>8.1f} s {middle:>6.1f} s {sum(self.cpu_s) / self.twins:>7.2f} s"
            f" {max(self.cpu_s):>4.2f} s {self.revisions:>10}  {self.rounds}"
        )


def template(release: Release, deb: Path, store: Path) -> Golden:
    """Return the template of such fleets."""
    return golden_tree(release, deb, store=store, name="estate", profile=ROUTED, prepare=furnish, lived=left_a_lease)


def trial(golden: Golden, count: int, folder: Path) -> Result:
    """Boot that many twins and return what it cost; AssertionError if anything was had or claimed twice."""
    with Estate(folder / "etcd") as estate:
        twins: list[Clone] = []
        try:
            for number in range(count):
                twin = Clone(f"twin-{number}", golden.layers, folder / f"{number}", estate.segment(), MAC)
                twins.append(twin)
                register(twin)
            began_s = time.monotonic()
            with ThreadPoolExecutor(16) as pool:
                list(pool.map(lambda twin: twin.boot(wait=False), twins))
            ready_s = wait_ready(twins, began_s)
            time.sleep(7)  # two looks at the registry: what is wrong would be told by then
            documents = [status(twin) for twin in twins]
            for twin, document in zip(twins, documents, strict=True):
                assert_settled(twin)
                assert document["state"] == "ready", document["summary"]
                assert document["registry"]["state"] == "claimed"
            assert_different(twins)
            names = sorted(document["node"]["hostname"] for document in documents)
            assert names == [f"worker-{number:02d}" for number in range(1, count + 1)]
            for kind in ("hostname", "machine-id", "ipv4-address"):
                claims = estate.etcd.claims(kind)
                assert len(claims) == count, (kind, claims)
                assert len(set(claims.values())) == count, "each of another owner"
            return Result(
                twins=count,
                ready_s=tuple(ready_s),
                cpu_s=tuple(cpu_s(twin) for twin in twins),
                revisions=estate.etcd.revision(),
                rounds=max(int(twin.read("/run/nodeprep/renewals") or 0) for twin in twins if _renewed(twin)),
            )
        finally:
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(Clone.remove, twins))


def assert_different(twins: Sequence[Clone]) -> None:
    """Assert that no two of the machines share anything but a MAC, which is unique on its segment only."""
    found = {twin.name: identity(twin) for twin in twins}
    for values in found.values():
        assert_whole(values)
    for first, second in combinations(found, 2):
        assert set(shared(found[first], found[second])) <= {"mac"}, (first, found[first], second, found[second])


def _renewed(twin: Clone) -> bool:
    return twin.exists("/run/nodeprep/renewals")


def main() -> None:
    """Try fleets of the sizes that are asked for, and print a row for each."""
    parser = argparse.ArgumentParser(description="boot fleets of perfect twins on segments of their own")
    parser.add_argument("sizes", nargs="+", type=int)
    parser.add_argument("--release", choices=[release.value for release in Release], default=Release.BOOKWORM.value)
    parser.add_argument("--deb", type=Path)
    options = parser.parse_args()
    sweep()
    built = options.deb or max((ROOT / "dist").glob("nodeprep_*_all.deb"), key=lambda path: path.stat().st_mtime_ns)
    with tempfile.TemporaryDirectory(prefix="nodeprep-estate-") as folder:
        golden = template(Release(options.release), built, Path(folder) / "golden")
        print(HEADER)
        for count in options.sizes:
            print(trial(golden, count, Path(folder) / f"fleet-{count}"), flush=True)


if __name__ == "__main__":
    main()
