"""Datagrams to peers beyond routers on a real kernel: what the sockets let through, and what two wires make of it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import Any

import pytest

from tests.contract.conftest import Segment

pytestmark = pytest.mark.root

PORT = 7877
PREAMBLE = """
import asyncio, json, socket, sys, time
from nodeprep.endpoint import Endpoint
from nodeprep.host import datagrams
from nodeprep.model import Claim
from nodeprep.peers import message as m
from nodeprep.peers.keyring import Keyring
from nodeprep.wire import Wire
KEY = bytes(32)
CLAIMS = {Claim.HOSTNAME: frozenset({"worker"}), Claim.MACHINE_ID: frozenset({"0123456789abcdef"})}
def show(value): print(json.dumps(value), flush=True)
def genuine(stamp, nonce=bytes(16)):
    claims = frozenset({m.claim(KEY, m.ClaimKind.HOSTNAME, "worker")})
    return m.encode(m.Message(m.MessageType.PROBE, nonce, m.Standing.PROBING, claims, stamp=stamp), KEY)[0]
def drained(opened):
    time.sleep(0.2)
    return [each for each in iter(opened.receive, None)]
def ready_wire(nonce, peers):
    wire = Wire(nonce, Keyring((KEY,)), lambda event: None)
    wire.route(peers, 7877)
    return wire
async def probed(wire):
    contest = await wire.probe(CLAIMS, m.Standing.PROBING)
    return {"clear": contest.clear, "lost": sorted(claim.value for claim in contest.lost)}
"""
READY = """
async def main():
    wire = ready_wire(bytes(16), [Endpoint(each, 7877) for each in {peers!r}])
    show(await probed(wire)); wire.ready()
    await asyncio.get_running_loop().run_in_executor(None, input)
    show([[source.link, source.address] for peer, _ in wire.peers for source in peer.sources])
asyncio.run(main())
"""
LATE = """
async def main():
    wire = ready_wire(b"\\xff" * 16, [Endpoint(each, 7877) for each in {peers!r}])
    show(await probed(wire))
asyncio.run(main())
"""


def command(space: str, code: str) -> list[str]:
    return ["ip", "netns", "exec", space, sys.executable, "-c", PREAMBLE + code]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def run(space: str, code: str) -> Any:
    done = subprocess.run(
        command(space, code), capture_output=True, text=True, env=environment(), timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class Inside:
    """A program inside; each line that it shows is read in turn, and it goes on when it is told to."""

    def __init__(self, segment: Segment, code: str) -> None:
        self._process = subprocess.Popen(
            command(segment.inside.name, code), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, env=environment(),
        )  # fmt: skip

    def __enter__(self) -> Inside:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def shown(self) -> Any:
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, self._process.communicate()[1]
        return json.loads(line)

    def go_on(self) -> None:
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()


def addresses(segment: Segment, version: int) -> tuple[str, str]:
    return (segment.inside.ipv4, segment.outside.ipv4) if version == 4 else (segment.inside.ipv6, segment.outside.ipv6)


@pytest.mark.parametrize("version", [4, 6])
def test_only_what_may_be_ours_reaches_us_with_its_senders_address_and_port(segment: Segment, version: int) -> None:
    inside, outside = addresses(segment, version)
    with Inside(
        segment,
        f"opened = datagrams.DatagramSocket({version}, {PORT}); show(1); input()\n"
        "show([[payload.hex(), *where] for payload, *where in drained(opened)])",
    ) as heard:
        heard.shown()
        sent = run(
            segment.outside.name,
            f"opened = datagrams.DatagramSocket({version}, 7000); good = genuine(7)\n"
            "bad = [good[:20], b'nope' + good[4:], good[:5] + b'\\xff\\xff' + good[7:],\n"
            "       good[:5] + bytes(2) + good[7:], b'', b'ndpr', bytes(1400)]\n"
            f"for each in (*bad, good): opened.send(each, {inside!r}, {PORT})\n"
            "show(good.hex())",
        )
        heard.go_on()
        assert heard.shown() == [[sent, outside, 7000]]


def test_a_port_that_is_taken_is_named(segment: Segment) -> None:
    said = run(
        segment.inside.name,
        f"first = datagrams.DatagramSocket(4, {PORT})\n"
        f"try: datagrams.DatagramSocket(4, {PORT})\n"
        "except Exception as error: show([type(error).__name__, str(error)])",
    )
    assert said == ["HostError", f"peers.port: {PORT}/udp, IPv4: Address already in use"]


def test_the_source_towards_a_peer_is_told_and_nothing_is_sent(segment: Segment) -> None:
    code = "show([datagrams.source_towards(each, 7877) for each in ('10.77.0.2', 'fd77::2', '192.0.2.1')])"
    assert run(segment.inside.name, code) == [segment.inside.ipv4, segment.inside.ipv6, None]


def test_towards_an_address_of_its_own_the_source_is_that_address_on_whatever_link(segment: Segment) -> None:
    for address in ("10.99.0.1/32", "fd99::1/128"):  # as a host has that speaks BGP to its fabric
        segment.inside.run("ip", "address", "add", address, "dev", "lo")
    own = [segment.inside.ipv4, segment.inside.ipv6, "10.99.0.1", "fd99::1"]
    assert run(segment.inside.name, f"show([datagrams.source_towards(each, 7877) for each in {own!r}])") == own


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("mutual", [True, False], ids=["both list each other", "only the late one has a list"])
def test_a_late_twin_beyond_a_router_yields(segment: Segment, version: int, mutual: bool) -> None:
    inside, outside = addresses(segment, version)
    listed = [outside] if mutual else [("10.77.0.99" if version == 4 else "fd77::99")]
    with Inside(segment, READY.format(peers=listed)) as first:
        assert first.shown() == {"clear": True, "lost": []}
        late = run(segment.outside.name, LATE.format(peers=[inside, outside]))
        assert late == {"clear": False, "lost": ["hostname", "machine-id"]}
        first.go_on()
        assert first.shown() == [["unicast/udp", outside]]


def test_a_recording_that_comes_in_anothers_name_makes_us_send_him_no_more_than_that(segment: Segment) -> None:
    with Inside(segment, READY.format(peers=["10.77.0.99"])) as first:
        first.shown()
        victim = segment.outside.make_socket(socket.SOCK_DGRAM, socket.AF_INET)
        victim.bind(("10.77.0.2", 9999))
        payload = bytes.fromhex(run(segment.outside.name, "show(genuine(7, b'\\x11' * 16).hex())"))
        for _ in range(3):
            victim.sendto(payload, (segment.inside.ipv4, PORT))  # the copies are stale
        received = []
        victim.settimeout(1.5)
        while True:
            try:
                received.append(victim.recv(2048))
            except TimeoutError:
                break
        assert sum(map(len, received)) <= len(payload)
