"""What the packet sockets let through, and what ARP and neighbour discovery find, on a real kernel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any

import pytest

from tests.contract.conftest import Segment

pytestmark = pytest.mark.root

PREAMBLE = """
import json, socket, struct, time
from ipaddress import IPv4Address
from nodeprep.host import arp, bpf, frames, neighbour, strangers
from nodeprep.peers import message as m
KEY = bytes(32)
def show(value): print(json.dumps(value))
def mac(link): return open(f"/sys/class/net/{link}/address").read().strip()
def genuine(stamp):
    claims = frozenset({m.claim(KEY, m.ClaimKind.HOSTNAME, "worker")})
    return m.encode(m.Message(m.MessageType.PROBE, bytes(16), m.Standing.PROBING, claims, stamp=stamp), KEY)[0]
def raw(link, *frames_):
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as tap:
        tap.bind((link, 0))
        for each in frames_: tap.send(each)
def ours(payload, source, to=b"\\xff" * 6): return to + source + struct.pack(">H", m.ETHERTYPE) + payload
def drained(opened):
    time.sleep(0.2)
    return [each for each in iter(opened.receive, None)]
"""


def command(space: str, code: str) -> list[str]:
    return ["ip", "netns", "exec", space, sys.executable, "-c", PREAMBLE + code]


def run(space: str, code: str) -> Any:
    done = subprocess.run(
        command(space, code), capture_output=True, text=True, env=environment(), timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


class Inside:
    """A program inside that opens its sockets, and goes on when the test has sent what it sends."""

    def __init__(self, segment: Segment, opening: str, then: str) -> None:
        code = f"{opening}\nprint('open', flush=True); input()\n{then}"
        self._process = subprocess.Popen(
            command(segment.inside.name, code), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, env=environment(),
        )  # fmt: skip
        assert self._process.stdout
        assert self._process.stdout.readline() == "open\n", self._process.communicate()

    def result(self) -> Any:
        out, err = self._process.communicate("\n", timeout=30)
        assert self._process.returncode == 0, err
        return json.loads(out)


def mac(segment: Segment, end: str) -> str:
    return str(getattr(segment, end).run("cat", "/sys/class/net/v0/address").strip())


def test_only_frames_that_may_be_ours_reach_us_with_the_mac_of_their_sender(segment: Segment) -> None:
    heard = Inside(
        segment,
        "opened = frames.LinkSocket('v0', m.ETHERTYPE); opened.send(genuine(1))",
        "show([[payload.hex(), source] for payload, source in drained(opened)])",
    )
    run(
        segment.outside.name,
        "me = bytes.fromhex('02aabbccddee'); good = genuine(7)\n"
        "bad = [good[:20], b'nope' + good[4:], good[:5] + b'\\xff\\xff' + good[7:], good[:5] + bytes(2) + good[7:],\n"
        "       good[:-1], b'', bytes(1400)]\n"
        "raw('v0', *(ours(payload, me) for payload in bad), ours(good, me), ours(good + bytes(9), me))\n"
        "raw('v0', b'\\xff' * 6 + me + b'\\x88\\xb6' + good)\n"
        "show([good.hex(), (b'ndpr\\x02' + good[5:]).hex()])",
    )
    payloads = heard.result()
    good = run(segment.outside.name, "show(genuine(7).hex())")
    assert payloads == [[good, "02:aa:bb:cc:dd:ee"], [good + "00" * 9, "02:aa:bb:cc:dd:ee"]]


def test_a_frame_of_another_version_is_let_through_to_be_counted(segment: Segment) -> None:
    heard = Inside(segment, "opened = frames.LinkSocket('v0', m.ETHERTYPE)", "show(len(drained(opened)))")
    run(segment.outside.name, "raw('v0', ours(b'ndpr\\x02' + genuine(7)[5:], bytes(6))); show(1)")
    assert heard.result() == 1


def test_a_flood_that_is_not_ours_is_dropped_by_the_kernel(segment: Segment) -> None:
    heard = Inside(segment, "opened = frames.LinkSocket('v0', m.ETHERTYPE)", "show(len(drained(opened)))")
    run(
        segment.outside.name,
        "import os\nnoise = [ours(os.urandom(200), os.urandom(6)) for _ in range(2000)]\n"
        "raw('v0', *noise, ours(genuine(1), bytes(6))); show(1)",
    )
    assert heard.result() == 1, "the queue has room for a few hundred frames only"


def test_frames_of_a_vlan_are_heard_on_the_vlan_and_not_on_the_link_below(segment: Segment) -> None:
    for end in (segment.inside, segment.outside):
        try:
            end.run("ip", "link", "add", "link", "v0", "name", "v0.7", "type", "vlan", "id", "7")
        except AssertionError as error:
            pytest.skip(f"this kernel has no VLANs: {error}")
        end.run("ip", "link", "set", "v0.7", "up")
    heard = Inside(
        segment,
        "below, vlan = (frames.LinkSocket(name, m.ETHERTYPE) for name in ('v0', 'v0.7'))\n"
        "taps = [strangers.StrangerSocket(name, mac(name), ('10.77.0.1',), ()) for name in ('v0', 'v0.7')]",
        "show([len(drained(below)), len(drained(vlan)), *(len(drained(tap)) for tap in taps)])",
    )
    run(
        segment.outside.name,
        "raw('v0.7', ours(genuine(1), bytes.fromhex('02aabbccddee')))\n"
        "arp.arp_announce('v0.7', '02:aa:bb:cc:dd:ee', '10.77.0.1'); show(1)",
    )
    assert heard.result() == [0, 1, 0, 1]


def test_a_stranger_with_our_address_is_seen_with_its_mac(segment: Segment) -> None:
    heard = Inside(
        segment,
        "opened = strangers.StrangerSocket('v0', mac('v0'), ('10.77.0.9', '10.77.0.1'), (mac('v0'),))",
        "show([[s.kind, s.value, s.link, s.mac] for found in drained(opened) for s in found])",
    )
    run(
        segment.outside.name,
        "arp.arp_announce('v0', '02:aa:bb:cc:dd:ee', '10.77.0.1')\n"
        "arp.arp_announce('v0', '02:aa:bb:cc:dd:ee', '10.77.0.77')\n"
        "arp.arp_announce('v0', '00:00:5e:00:01:33', '10.77.0.1'); show(1)",
    )
    assert heard.result() == [["ipv4", "10.77.0.1", "v0", "02:aa:bb:cc:dd:ee"]], "a virtual router is no stranger"


def test_a_frame_from_outside_with_our_mac_is_seen_and_our_own_are_not(segment: Segment) -> None:
    heard = Inside(
        segment,
        "opened = strangers.StrangerSocket('v0', mac('v0'), (), (mac('v0'),))\n"
        "arp.arp_announce('v0', mac('v0'), '10.77.0.1')",
        "show([[s.kind, s.mac] for found in drained(opened) for s in found])",
    )
    own = mac(segment, "inside")
    run(
        segment.outside.name,
        f"own = frames.mac_bytes({own!r})\n"
        "raw('v0', b'\\xff' * 6 + own + b'\\x08\\x00' + bytes(50), ours(genuine(1), own))\n"
        "raw('v0', b'\\x02' + bytes(5) + own + b'\\x08\\x00' + bytes(50)); show(1)",
    )
    assert heard.result() == [["mac", own]], "only what is sent to all, and not what a peer of ours says"


def test_an_announcement_is_heard_as_one(segment: Segment) -> None:
    heard = Inside(
        segment,
        "opened = arp._opened('v0')",
        "opened.settimeout(5)\n"
        "while True:\n"
        "    frame = opened.recv(100)\n"
        "    if frame[6:12].hex() == '02aabbccddee': break\n"
        "show(frame[:42].hex())",
    )
    run(segment.outside.name, "arp.arp_announce('v0', '02:aa:bb:cc:dd:ee', '10.77.0.2'); show(1)")
    address = "0a4d0002"
    header = "ffffffffffff" + "02aabbccddee" + "0806" + "0001080006040001"
    assert heard.result() == header + "02aabbccddee" + address + "000000000000" + address


def test_the_holder_of_an_ipv6_address_is_found_and_nobody_where_there_is_none(segment: Segment) -> None:
    found = run(
        segment.inside.name,
        "import time\n"
        "until_s = time.monotonic() + 10  # one solicitation in a busy kernel may go unanswered\n"
        "while not (held := neighbour.neighbour_holder('v0', mac('v0'), 'fd77::2')):\n"
        "    assert time.monotonic() < until_s\n"
        "show([held, neighbour.neighbour_holder('v0', mac('v0'), 'fd77::77')])",
    )
    assert found == [mac(segment, "outside"), None]


def test_the_holder_of_an_ipv4_address_is_found_and_nobody_where_there_is_none(segment: Segment) -> None:
    found = run(
        segment.inside.name,
        "show([arp.arp_holder('v0', mac('v0'), address) for address in ('10.77.0.2', '10.77.0.77')])",
    )
    assert found == [mac(segment, "outside"), None]


@pytest.mark.parametrize("established", [False, True])
def test_who_probes_for_an_address_counts_where_it_is_nobodys_yet(segment: Segment, established: bool) -> None:
    probing = (
        "probe = arp._request(frames.mac_bytes(mac('v0')), arp.NOBODY, bytes((10, 77, 0, 77)))\n"
        "until_s = time.monotonic() + 20\n"
        "while time.monotonic() < until_s: raw('v0', probe); time.sleep(0.02)"
    )
    prober = subprocess.Popen(command(segment.outside.name, probing), env=environment())
    try:
        time.sleep(1)  # until it does
        asked = f"show(arp.arp_holder('v0', mac('v0'), '10.77.0.77', established={established}))"
        assert run(segment.inside.name, asked) == (None if established else mac(segment, "outside"))
    finally:
        prober.kill()
        prober.wait()


def test_of_many_addresses_those_that_are_held_are_found_at_once(segment: Segment) -> None:
    segment.outside.run("ip", "address", "add", "10.77.0.200/24", "dev", "v0")
    found = run(
        segment.inside.name,
        "began_s = time.monotonic()\n"
        "held = arp.arp_holders('v0', mac('v0'), [f'10.77.0.{n}' for n in range(2, 255)])\n"
        "show([held, time.monotonic() - began_s])",
    )
    holder = mac(segment, "outside")
    assert found[0] == {"10.77.0.2": holder, "10.77.0.200": holder}
    assert found[1] < 3, "and not one after the other"
