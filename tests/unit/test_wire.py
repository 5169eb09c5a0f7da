"""The wire: when a probing is over that was lost."""

from __future__ import annotations

import asyncio

import pytest

from nodeprep import wire as module
from nodeprep.contest import Contest
from nodeprep.model import Claim, Values
from nodeprep.patience import within
from nodeprep.peers.census import Census
from nodeprep.peers.keyring import Keyring
from nodeprep.peers.message import ClaimKind, Standing
from nodeprep.peers.rules import UNICAST, Send, Source
from nodeprep.wire import Wire

KEYRING = Keyring((bytes(range(32)),))
OURS: dict[Claim, Values] = {Claim.HOSTNAME: frozenset({"worker"}), Claim.MAC: frozenset({"52:54:00:00:00:01"})}
LINK = Source("eth0", "52:54:00:00:00:02")
BEYOND = Source(UNICAST, "192.0.2.1")
PATIENCE_S = 10.0


async def lose(*claims: tuple[ClaimKind, str], source: Source = LINK) -> Contest | None:
    """Return what came of a probing that loses these claims to a peer, or None if it waits for more."""
    wire = Wire(b"\xff" * 16, KEYRING, lambda _: None)
    said: asyncio.Queue[bytes] = asyncio.Queue()
    wire._segments.send = lambda payload, *_: said.put_nowait(payload)  # type: ignore[method-assign]
    peer = Census(b"\x00" * 16, KEYRING)
    peer.probe(0.0, frozenset(KEYRING.claim(kind, value) for kind, value in claims), Standing.PROBING)
    probing = asyncio.create_task(wire.probe(OURS, Standing.PROBING))
    try:
        answers = peer.receive(0.0, await within(said.get(), PATIENCE_S), LINK)
        for answer in answers:
            if isinstance(answer, Send) and answer.to:
                wire.receive(wire.now, answer.payload, source)
        done, _ = await asyncio.wait({probing}, timeout=PATIENCE_S if wire.census.beaten and source is LINK else 0.0)
        return probing.result() if done else None
    finally:
        probing.cancel()
        wire.close()


@pytest.fixture(autouse=True)
def _waits_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GATHER_S", 3600.0)
    monkeypatch.setattr(module, "PROBE_TIMEOUT_S", 3600.0)


ALL = ((ClaimKind.HOSTNAME, "worker"), (ClaimKind.MAC, "52:54:00:00:00:01"))


def test_what_has_lost_all_waits_for_nobody_else() -> None:
    contest = asyncio.run(lose(*ALL))
    assert contest is not None
    assert contest.lost == OURS
    assert contest.on_segment


def test_what_has_something_left_to_lose_waits_for_others() -> None:
    assert asyncio.run(lose(ALL[0])) is None


def test_what_has_lost_all_to_a_peer_beyond_routers_waits_for_one_on_the_segment() -> None:
    assert asyncio.run(lose(*ALL, source=BEYOND)) is None
