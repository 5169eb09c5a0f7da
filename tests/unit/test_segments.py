"""Segments and wire: which link carries what, and what a flood gets of the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from nodeprep import segments
from nodeprep.errors import HostError
from nodeprep.model import Claim, Link, LinkAddress
from nodeprep.peers.message import Message, MessageType, Reason, Standing, decode, encode
from nodeprep.peers.rules import Source
from nodeprep.segments import FRAMES_PER_S, Intake, Segments
from nodeprep.wire import Wire
from tests.unit.peers.single import KEY, KEYRING, LOW, OWN, frame

MAC0, MAC1 = "02:00:00:00:00:01", "02:00:00:00:00:02"


class FakeSocket:
    """A link's socket that keeps what is sent, and has endless frames to hand out."""

    opened: dict[str, FakeSocket]

    def __init__(self, link: str, ethertype: int, magic: bytes) -> None:
        if link == "gone0":
            raise HostError("it is gone")
        self.link, self.index = link, int(link[-1])
        self.sent: list[bytes] = []
        self.closed = False
        self.opened[link] = self

    def fileno(self) -> int:
        return self.index

    def send(self, payload: bytes) -> None:
        self.sent.append(payload)

    def receive(self) -> tuple[bytes, str] | None:
        return b"noise", "02:66:66:66:66:66"

    def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def sockets(monkeypatch: pytest.MonkeyPatch) -> dict[str, FakeSocket]:
    opened: dict[str, FakeSocket] = {}
    monkeypatch.setattr(FakeSocket, "opened", opened, raising=False)
    monkeypatch.setattr(segments, "LinkSocket", FakeSocket)
    return opened


def in_loop(work: Callable[[], Any]) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader = loop.remove_reader = lambda *_: True  # type: ignore[method-assign,assignment]
        work()

    asyncio.run(main())


def link(name: str, mac: str = MAC0, **changed: Any) -> Link:
    known: dict[str, Any] = {"index": int(name[-1]), "permanent_mac": None, "carrier": True}
    return Link(name=name, mac=mac, **(known | changed))


def test_only_links_that_speak_are_listened_on_and_the_new_ones_are_told(sockets: dict[str, FakeSocket]) -> None:
    def work() -> None:
        ears = Segments(Intake(lambda *_: None))
        first = (link("eth0"), link("eth1", port=True), link("eth2", carrier=False), link("gone0"))
        assert ears.listen(first) == {"eth0"}
        assert ears.listen(first) == frozenset()
        assert ears.listen((link("eth0"), link("eth2"))) == {"eth2"}
        assert ears.listen((link("eth2"),)) == frozenset()
        assert sockets["eth0"].closed
        assert ears.names == ("eth2",)

    in_loop(work)


def test_a_link_whose_carrier_was_away_may_lead_elsewhere() -> None:
    def work() -> None:
        ears = Segments(Intake(lambda *_: None))
        ears.listen((link("eth0", flaps=1),))
        assert ears.listen((link("eth0", flaps=3),)) == {"eth0"}
        assert ears.listen((link("eth0", flaps=3),)) == frozenset()

    in_loop(work)


def test_another_link_of_the_same_name_is_another_link(sockets: dict[str, FakeSocket]) -> None:
    def work() -> None:
        ears = Segments(Intake(lambda *_: None))
        ears.listen((link("eth0"),))
        old = sockets["eth0"]
        assert ears.listen((link("eth0", index=7),)) == {"eth0"}
        assert old.closed

    in_loop(work)


def test_a_flood_gets_no_more_of_the_loop_than_is_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    def work() -> None:
        taken: list[Source] = []
        intake = Intake(lambda _, __, source, ___: taken.append(source))
        ears = Segments(intake)
        ears.listen((link("eth0"),))
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "time", lambda: 1000.0)
        for _ in range(FRAMES_PER_S // 10):
            intake._receive(ears._sockets["eth0"], "eth0")
        assert len(taken) == FRAMES_PER_S
        assert set(taken) == {Source("eth0", "02:66:66:66:66:66")}

    in_loop(work)


def test_a_mac_and_an_address_are_said_on_their_link_and_the_name_on_all(sockets: dict[str, FakeSocket]) -> None:
    def work() -> None:
        wire = Wire(OWN, KEYRING, lambda _: None, "worker")
        wire.listen(
            (
                link("eth0", MAC0, addresses=(LinkAddress("10.0.2.15", 24, "global", dynamic=True),)),
                link("eth1", MAC1),
            )
        )
        claims = {
            Claim.HOSTNAME: frozenset({"worker-1"}),
            Claim.MAC: frozenset({MAC0, MAC1}),
            Claim.IPV4: frozenset({"10.0.2.15", "10.0.0.77"}),
        }
        wire._take(wire.census, wire.census.probe(wire.now - 0.06, wire._encode(claims), Standing.PROBING))
        wire._tick(wire.census)
        said = {name: decode(opened.sent[0], KEY) for name, opened in sockets.items()}
        shown = {name: wire.values(wire.census._holdings.common(each, name)) for name, each in said.items()}
        assert shown["eth0"] == {
            Claim.HOSTNAME: {"worker-1"},
            Claim.MAC: {MAC0},
            Claim.IPV4: {"10.0.2.15", "10.0.0.77"},
        }, "an address that no link bears yet may come on any of them"
        assert shown["eth1"] == {Claim.HOSTNAME: {"worker-1"}, Claim.MAC: {MAC1}, Claim.IPV4: {"10.0.0.77"}}
        assert {message.role for message in said.values()} == {"worker"}
        wire.close()

    in_loop(work)


def test_a_flood_is_counted_by_what_was_wrong_with_it_and_a_peer_is_heard_through_it() -> None:
    def work() -> None:
        wire = Wire(OWN, KEYRING, lambda _: None)
        good = [frame(MessageType.ANNOUNCE, LOW, Standing.READY) for _ in range(2)]
        source = Source("eth0", MAC1)
        wire.receive(1.0, good[0], source)
        for number in range(1, 6001):
            forged = good[0][:7] + number.to_bytes(16, "big") + good[0][23:]
            wire.receive(2.0, forged, Source("eth0", f"{number}"))
        wire.receive(2.0, b"nonsense", source)
        wire.receive(2.0, b"ndpr\x02" + good[0][5:], source)
        wire.receive(2.0, good[1], source)
        wire.receive(2.0, good[1], source)
        rejected = {reason: number for reason, number in wire.census.rejected.items() if number}
        assert rejected == {
            Reason.UNAUTHENTIC: 5000,
            Reason.LIMITED: 1000,
            Reason.NOT_OURS: 1,
            Reason.VERSION: 1,
            Reason.STALE: 1,
        }
        assert [peer.seen_s for peer in wire.census.peers] == [2.0]
        wire.close()

    in_loop(work)


def test_newcomers_are_probed_under_another_nonce_and_their_loss_is_no_event() -> None:
    events: list[object] = []

    async def main() -> None:
        wire = Wire(OWN, KEYRING, events.append)
        contest = await wire.probe({Claim.HOSTNAME: frozenset({"worker-1"})}, Standing.PROBING)
        assert contest.clear
        wire.ready()
        probing = asyncio.create_task(wire.probe_newcomers({Claim.HOSTNAME: frozenset({"other", "worker-2"})}))
        await asyncio.sleep(0.1)
        newcomers = wire._newcomers
        assert newcomers is not None
        nonce = newcomers._nonce
        assert nonce != OWN
        (foreign,) = (claim for claim, value in wire._presence._values.items() if value[1] == "worker-2")
        payload = frame_to(nonce, foreign)
        wire.receive(wire.now, payload, Source("eth0", MAC1))
        lost = await probing
        assert not lost.clear
        assert lost.lost == {Claim.HOSTNAME: {"worker-2"}}
        assert wire._newcomers is None
        assert wire.census._standing is Standing.READY
        wire.close()

    asyncio.run(main())
    assert events == []


def frame_to(nonce: bytes, claim: Any) -> bytes:
    message = Message(MessageType.CONFLICT, LOW, Standing.READY, frozenset({claim}), frozenset({nonce}), stamp=10**6)
    return encode(message, KEY)[0]
