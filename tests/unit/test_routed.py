"""Routed and presence: whom a message goes to beyond routers, what others can make us send, and what is compared."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from nodeprep import routed, segments
from nodeprep.endpoint import Endpoint
from nodeprep.errors import HostError
from nodeprep.model import Claim, Link, LinkAddress
from nodeprep.peers.keyring import Keyring
from nodeprep.peers.message import ClaimKind, MessageType, Reason, Standing, decode
from nodeprep.peers.rules import UNICAST, Source
from nodeprep.presence import Presence
from nodeprep.routed import CREDIT_MAX_BYTES, Routed
from nodeprep.segments import Intake
from nodeprep.wire import Wire
from tests.unit.peers.single import HIGH, KEY, KEYRING, LOW, OWN, frame
from tests.unit.test_segments import FakeSocket

A, B, SIX = Endpoint("10.1.2.3", 7877), Endpoint("10.1.2.4", 7000), Endpoint("fd00::5", 7877)
STRANGER = Endpoint("10.9.9.9", 7877)
SOURCES = {"10.1.2.3": "10.9.0.1", "10.1.2.4": "10.9.0.1"}


class FakeDatagrams:
    """A UDP socket that keeps what is sent."""

    opened: dict[int, FakeDatagrams]

    def __init__(self, version: int, port: int) -> None:
        if port == 1:
            raise HostError("1/udp: taken")
        self.version, self.port = version, port
        self.sent: list[tuple[bytes, str, int]] = []
        self.closed = False
        self.opened[version] = self

    def fileno(self) -> int:
        return 100 + self.version

    def send(self, payload: bytes, address: str, port: int) -> None:
        self.sent.append((payload, address, port))

    def receive(self) -> None:
        return None

    def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def datagrams(monkeypatch: pytest.MonkeyPatch) -> dict[int, FakeDatagrams]:
    opened: dict[int, FakeDatagrams] = {}
    monkeypatch.setattr(FakeDatagrams, "opened", opened, raising=False)
    monkeypatch.setattr(routed, "DatagramSocket", FakeDatagrams)
    monkeypatch.setattr(routed, "speaks", lambda version: True)
    monkeypatch.setattr(routed, "source_towards", lambda address, port: SOURCES.get(address))
    monkeypatch.setattr(FakeSocket, "opened", {}, raising=False)
    monkeypatch.setattr(segments, "LinkSocket", FakeSocket)
    return opened


def in_loop(work: Callable[[], Any]) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader = loop.remove_reader = lambda *_: True  # type: ignore[method-assign,assignment]
        work()

    asyncio.run(main())


def told(opened: FakeDatagrams) -> set[tuple[str, int]]:
    return {(address, port) for _, address, port in opened.sent}


def test_what_is_said_to_all_goes_to_the_configured_peers_but_oneself(
    datagrams: dict[int, FakeDatagrams], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SOURCES, A.address, A.address)

    def work() -> None:
        peers = Routed(Intake(lambda *_: None))
        assert not peers.names
        peers.follow((A, B, SIX), 7877)
        peers.send(b"probe")
        assert told(datagrams[4]) == {("10.1.2.4", 7000)}
        assert told(datagrams[6]) == {("fd00::5", 7877)}
        assert peers.names == (UNICAST,)
        assert peers.sources == {"10.9.0.1"}

    in_loop(work)


def test_sockets_are_of_the_families_that_are_needed_and_follow_the_configuration(
    datagrams: dict[int, FakeDatagrams],
) -> None:
    def work() -> None:
        peers = Routed(Intake(lambda *_: None))
        peers.follow((A,), 7877)
        assert set(datagrams) == {4}
        first = datagrams[4]
        peers.follow((A, B), 7877)
        assert datagrams[4] is first
        peers.follow((A,), 7000)
        assert first.closed and datagrams[4].port == 7000
        peers.follow((), 7000)
        assert datagrams[4].closed and peers.names == ()
        with pytest.raises(HostError, match="taken"):
            peers.follow((A,), 1)

    in_loop(work)


def test_an_answer_goes_to_whom_it_is_addressed_and_to_nobody_else(datagrams: dict[int, FakeDatagrams]) -> None:
    def work() -> None:
        peers = Routed(Intake(lambda *_: None))
        peers.follow((A, B), 7877)
        peers.know(LOW, A.address, A.port, 100)
        peers.send(b"answer", {LOW, HIGH})
        assert told(datagrams[4]) == {(A.address, A.port)}
        datagrams[4].sent.clear()
        peers.send(b"answer", {HIGH})
        assert datagrams[4].sent == [], "whom we never heard beyond a router we tell nothing there"

    in_loop(work)


def test_who_is_not_configured_gets_no_more_bytes_than_came_from_there(datagrams: dict[int, FakeDatagrams]) -> None:
    def work() -> None:
        peers = Routed(Intake(lambda *_: None))
        peers.follow((A,), 7877)
        for _ in range(3):
            peers.know(LOW, STRANGER.address, STRANGER.port, 150)
        for _ in range(100):
            peers.send(bytes(170), {LOW})
            peers.send(bytes(170))
        sent = [payload for payload, address, _ in datagrams[4].sent if address == STRANGER.address]
        assert len(sent) == 2 and sum(map(len, sent)) <= 450
        for _ in range(1000):
            peers.know(LOW, STRANGER.address, STRANGER.port, 1400)
        datagrams[4].sent.clear()
        for _ in range(1000):
            peers.send(bytes(170), {LOW})
        assert sum(len(payload) for payload, _, _ in datagrams[4].sent) <= CREDIT_MAX_BYTES

    in_loop(work)


def test_a_machine_without_ipv6_leaves_those_peers_out(
    datagrams: dict[int, FakeDatagrams], monkeypatch: pytest.MonkeyPatch
) -> None:
    def work() -> None:
        monkeypatch.setattr(routed, "speaks", lambda version: version == 4)
        peers = Routed(Intake(lambda *_: None))
        peers.follow((A, SIX), 7877)
        peers.send(b"probe")
        assert set(datagrams) == {4}
        assert told(datagrams[4]) == {(A.address, A.port)}

    in_loop(work)


def test_who_repeats_a_peers_message_from_elsewhere_does_not_draw_its_answers(
    datagrams: dict[int, FakeDatagrams],
) -> None:
    def work() -> None:
        peers = Routed(Intake(lambda *_: None))
        peers.follow((A,), 7877)
        peers.know(LOW, A.address, A.port, 100)
        peers.know(LOW, STRANGER.address, STRANGER.port, 1000)
        peers.send(b"answer", {LOW})
        assert told(datagrams[4]) == {(A.address, A.port)}

    in_loop(work)


def test_the_configured_that_were_not_heard_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SOURCES, SIX.address, SIX.address)

    def work() -> None:
        peers = Routed(Intake(lambda *_: None))
        peers.follow((A, B, SIX), 7877)
        assert [str(one) for one in peers.silent] == ["10.1.2.3:7877", "10.1.2.4:7000"]
        peers.know(LOW, A.address, A.port, 100)
        assert peers.silent == (B,)

    in_loop(work)


def test_a_flood_of_senders_is_forgotten_beyond_a_bound() -> None:
    def work() -> None:
        peers = Routed(Intake(lambda *_: None))
        for number in range(routed.KNOWN_MAX + 100):
            peers.know(number.to_bytes(16, "big"), f"10.{number >> 8 & 255}.{number & 255}.1", 7877, 100)
        assert len(peers._where) <= routed.KNOWN_MAX
        assert len(peers._credit) <= routed.KNOWN_MAX

    in_loop(work)


def test_a_probe_is_said_on_the_links_and_to_the_peers_and_answered_to_its_sender(
    datagrams: dict[int, FakeDatagrams],
) -> None:
    def work() -> None:
        wire = Wire(OWN, KEYRING, lambda _: None)
        wire.listen((link("eth0", "10.9.0.1"),))
        wire.route((A, B), 7877)
        claims = {Claim.HOSTNAME: frozenset({"worker-1"}), Claim.MAC: frozenset({"02:00:00:00:00:00"})}
        wire._take(wire.census, wire.census.probe(wire.now - 0.06, wire._encode(claims), Standing.PROBING))
        wire._tick(wire.census)
        said = [decode(payload, KEY) for payload, _, _ in datagrams[4].sent]
        assert told(datagrams[4]) == {(A.address, A.port), (B.address, B.port)}
        assert {kind.kind for message in said for kind in message.claims} == {ClaimKind.HOSTNAME}
        assert {kind.kind for kind in decode(FakeSocket.opened["eth0"].sent[0], KEY).claims} == {
            ClaimKind.HOSTNAME, ClaimKind.MAC,
        }  # fmt: skip
        assert wire.links == ("eth0", UNICAST)
        datagrams[4].sent.clear()
        wire.receive(wire.now, frame(MessageType.PROBE, HIGH, Standing.PROBING), Source(UNICAST, B.address), B.port)
        wire._take(wire.census, wire.census.tick(wire.now + 0.06))
        answers = [each for each in datagrams[4].sent if decode(each[0], KEY).type is MessageType.CONFLICT]
        assert {(address, port) for _, address, port in answers} == {(B.address, B.port)}
        wire.close()
        assert datagrams[4].closed

    in_loop(work)


def test_what_is_not_authentic_earns_nothing_and_is_told_of(datagrams: dict[int, FakeDatagrams]) -> None:
    def work() -> None:
        wire = Wire(OWN, Keyring((bytes(32),)), lambda _: None)
        wire.route((A,), 7877)
        wire.receive(wire.now, frame(MessageType.PROBE, HIGH, Standing.PROBING), Source(UNICAST, "10.9.9.9"), 7877)
        assert wire.census.rejected[Reason.UNAUTHENTIC] == 1
        assert wire.routed._credit == {}
        ((one, _, is_ours),) = wire.foreigners
        assert (one.source, is_ours) == (Source(UNICAST, "10.9.9.9"), False)
        wire.close()

    in_loop(work)


# What is compared with whom


def link(name: str, *addresses: str | LinkAddress) -> Link:
    known = tuple(a if isinstance(a, LinkAddress) else LinkAddress(a, 24, "global") for a in addresses)
    return Link(name, int(name[-1]), f"02:00:00:00:00:0{name[-1]}", None, carrier=True, addresses=known)


def places(links: tuple[Link, ...], value: str, claim: Claim = Claim.IPV4) -> set[str]:
    presence = Presence(KEYRING)
    presence.links = links
    return {one.link for one in presence.encode({claim: frozenset({value})}, frozenset({"10.9.0.1"}))}


def test_a_static_address_of_the_link_that_leads_to_the_peers_is_unique_among_them() -> None:
    links = (link("eth0", "10.9.0.1", "fd00::9"), link("eth1", "192.168.1.10"))
    assert places(links, "10.9.0.1") == {"eth0", UNICAST}
    assert places(links, "fd00::9", Claim.IPV6) == {"eth0", UNICAST}, "of the other family too"
    assert places(links, "192.168.1.10") == {"eth1"}, "every site may have that"
    assert places(links, "10.9.0.77") == {""}, "not borne yet"


@pytest.mark.parametrize(
    "address",
    [
        LinkAddress("10.0.2.15", 24, "global"),
        LinkAddress("10.9.0.2", 24, "global", dynamic=True),
        LinkAddress("10.9.0.3", 32, "global", floating=True),
        LinkAddress("169.254.7.7", 16, "link"),
    ],
    ids=["behind a hypervisor's NAT", "leased", "virtual", "of the link"],
)
def test_an_address_that_others_may_have_as_well_stays_on_its_link(address: LinkAddress) -> None:
    assert places((link("eth0", "10.9.0.1", address),), address.address) == {"eth0"}


def test_a_mac_is_of_its_segment_only() -> None:
    assert places((link("eth0", "10.9.0.1"),), "02:00:00:00:00:00", Claim.MAC) == {"eth0"}
