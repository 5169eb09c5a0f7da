"""What a try from another machine finds, and what is noted of it here, on a real kernel."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.contract.conftest import Namespace, Segment
from tests.contract.test_frames import environment

pytestmark = pytest.mark.root

TRIED = (("tcp", 7001), ("udp", 7001), ("tcp", 7002), ("udp", 7002), ("tcp", 7003), ("udp", 7003))
LISTEN = """
import asyncio, json, socket, sys
from nodeprep.host.arrivals import Arrivals
from nodeprep.host.listeners import Listeners
async def listen(address, ports):
    taken = socket.socket()
    taken.bind(("0.0.0.0", 7003)); taken.listen()
    arrivals, listeners = Arrivals("v0", address), Listeners()
    listeners.open(address, [tuple(each) for each in ports])
    print(json.dumps(sorted(listeners.ports)), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    listeners.close()
    print(json.dumps(sorted(arrivals.take())), flush=True)
    arrivals.close()
asyncio.run(listen(sys.argv[1], json.loads(sys.argv[2])))
"""
REACH = """
import asyncio, json, sys
from nodeprep.host.reach import reach, source_address
async def tries(address, ports):
    print(json.dumps([*[(await reach(p, address, n)).name for p, n in ports], source_address(address)]))
asyncio.run(tries(sys.argv[1], json.loads(sys.argv[2])))
"""


def command(space: Namespace, code: str, *arguments: object) -> list[str]:
    return [*space.prefix, sys.executable, "-c", code, *(a if isinstance(a, str) else json.dumps(a) for a in arguments)]


@contextmanager
def listening(space: Namespace, address: str) -> Iterator[tuple[Any, list[Any]]]:
    """Listen on what is free; yields what is, and a list that has what arrived once it is over."""
    with subprocess.Popen(
        command(space, LISTEN, address, TRIED[2:]), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=environment(),
    ) as process:  # fmt: skip
        assert process.stdin and process.stdout
        came: list[Any] = []
        try:
            yield json.loads(process.stdout.readline()), came
            process.stdin.write("\n")
            process.stdin.flush()
            came += json.loads(process.stdout.readline())
        finally:
            process.kill()


def tries(space: Namespace, address: str) -> list[str]:
    done = subprocess.run(
        command(space, REACH, address, TRIED),
        capture_output=True,
        text=True,
        env=environment(),
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_what_listens_answers_and_what_does_not_refuses(segment: Segment, family: str) -> None:
    address, sender = getattr(segment.inside, family), getattr(segment.outside, family)
    with listening(segment.inside, address) as (ours, came):
        found = tries(segment.outside, address)
    taken = [] if family == "ipv4" else [["tcp", 7003]]  # who has it there, has IPv4 only
    assert ours == sorted([["tcp", 7002], ["udp", 7002], ["udp", 7003], *taken])
    assert found == ["REFUSED", "REFUSED", "ANSWERED", "ANSWERED", "ANSWERED", "ANSWERED", sender]
    assert came == sorted([protocol, port, sender] for protocol, port in TRIED)


def test_what_a_filter_here_drops_arrives_all_the_same(segment: Segment) -> None:
    dropped = "tcp dport 7001 drop\n udp dport 7001 drop"
    rejected = "tcp dport 7002 reject with tcp reset\n udp dport 7002 reject with icmpx type admin-prohibited"
    rules = f"table inet t {{\n chain c {{\n type filter hook input priority 0\n {dropped}\n {rejected}\n}}\n}}\n"
    segment.inside.run("nft", "-f", "-", stdin=rules)
    with listening(segment.inside, segment.inside.ipv4) as (_, came):
        found = tries(segment.outside, segment.inside.ipv4)
    assert found[:4] == ["SILENT", "SILENT", "REFUSED", "PROHIBITED"]
    assert [each[:2] for each in came if each[1] == 7001] == [["tcp", 7001], ["udp", 7001]]


def test_what_is_lost_before_it_comes_does_not_arrive(segment: Segment) -> None:
    dropped = "tcp dport 7002 drop\n udp dport 7002 drop"
    rules = f"table inet t {{\n chain c {{\n type filter hook output priority 0\n {dropped}\n}}\n}}\n"
    segment.outside.run("nft", "-f", "-", stdin=rules)
    with listening(segment.inside, segment.inside.ipv4) as (_, came):
        found = tries(segment.outside, segment.inside.ipv4)
    assert "ANSWERED" not in found[2:4]
    assert not [each for each in came if each[1] == 7002]


def test_an_address_beyond_every_route_cannot_be_tried(segment: Segment) -> None:
    assert tries(segment.outside, "192.0.2.1") == ["FAILED"] * len(TRIED) + [""]
