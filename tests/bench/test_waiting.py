"""How long the boot waits for peers that have nothing to say: in simulated time, and on booted machines."""

from __future__ import annotations

import itertools
import json
import statistics
from collections.abc import Iterator

import pytest

from nodeprep.peers.census import Census
from nodeprep.peers.keyring import Keyring
from nodeprep.peers.message import Claim, ClaimKind, Standing, claim
from nodeprep.peers.rules import Clear, Send
from tests.bench.conftest import Measured
from tests.bench.costs import Cost
from tests.lab.clone import Clone
from tests.lab.conftest import MakeClone
from tests.lab.expectations import ready
from tests.lab.tree import Release

KEY = bytes(range(32))
KEYRING = Keyring((KEY,))
RESTARTS = 2


def claims(number: int) -> frozenset[Claim]:
    """Return what a machine of that number presents."""
    return frozenset(claim(KEY, kind, f"{kind.name} {number}") for kind in ClaimKind)


def nonces(count: int) -> Iterator[bytes]:
    """Return nonces that are spread over all there are: the jitter is drawn from them."""
    return ((number * (2**128 // count)).to_bytes(16, "big") for number in range(count))


def clear_s(census: Census, heard: list[tuple[float, bytes]]) -> float:
    """Return when a census that begins at second 0, and is fed these frames, says that nobody contests it."""
    effects = census.probe(0.0, claims(0), Standing.PROBING)
    rest = sorted(heard)
    while not any(isinstance(effect, Clear) for effect in effects):
        assert census.deadline is not None
        if rest and rest[0][0] < census.deadline:
            now, payload = rest.pop(0)
            effects = census.receive(now, payload)
        else:
            now = census.deadline
            effects = census.tick(now)
    return now


def announcements(number: int, until_s: float) -> list[tuple[float, bytes]]:
    """Return what a peer says that becomes ready at second 0: at its most talkative, that is."""
    census = Census(number.to_bytes(16, "big"), KEYRING)
    clear_s(census, [])
    effects = census.probe(-2.0, claims(number), Standing.PROBING)
    while not census.clear:
        assert census.deadline is not None
        effects = census.tick(census.deadline)
    said = [(0.0, effect.payload) for effect in census.ready(0.0) if isinstance(effect, Send)]
    while census.deadline is not None and census.deadline <= until_s:
        now = census.deadline
        effects = census.tick(now)
        said += [(now, effect.payload) for effect in effects if isinstance(effect, Send)]
    return said


def test_a_census_that_nobody_contests_is_clear_in_time(measured: Measured) -> None:
    longest = max(clear_s(Census(nonce, KEYRING), []) for nonce in nonces(1000))
    measured(Cost.WAIT_SIMULATED, longest)


def test_a_census_beside_peers_that_are_ready_is_clear_as_soon(measured: Measured) -> None:
    heard = [frame for number in range(1, 21) for frame in announcements(number, Cost.WAIT_SIMULATED.limit)]
    assert heard
    longest = max(clear_s(Census(nonce, KEYRING), heard) for nonce in nonces(100))
    measured(Cost.WAIT_SIMULATED_BESIDE, longest)


def waits_s(machine: Clone) -> list[float]:
    """Return how long the daemon's probings in this boot took, from the journal: until it said what it did next."""
    options = ("--no-pager", "-b", "-o", "json", "-t", "nodeprep")
    entries = [json.loads(line) for line in machine.run("journalctl", *options).stdout.splitlines()]
    return [
        (int(after["__MONOTONIC_TIMESTAMP"]) - int(entry["__MONOTONIC_TIMESTAMP"])) / 1e6
        for entry, after in itertools.pairwise(entries)
        if entry["MESSAGE"] == "probing the peers" and not after["MESSAGE"].startswith("contested")
    ]


def restart(machine: Clone) -> None:
    """Have the daemon probe some more times; each is ready, or this fails."""
    for _ in range(RESTARTS):
        machine.run("systemctl", "reset-failed", "nodeprep.service")
        machine.run("systemctl", "restart", "nodeprep.service")
    assert ready(machine)["changes"] == []


@pytest.fixture
def machine(node: Clone) -> Clone:
    """Return a machine that was alone when it became ready."""
    assert ready(node)["peers"]["count"] == 0
    return node


def test_a_machine_that_is_alone_waits_no_longer(machine: Clone, measured: Measured) -> None:
    restart(machine)
    waits = waits_s(machine)[-RESTARTS:]
    assert len(waits) == RESTARTS
    measured(Cost.WAIT, statistics.median(waits))


@pytest.mark.parametrize("release", [Release.BOOKWORM], ids=["bookworm"], indirect=True)
def test_a_machine_beside_a_ready_one_waits_no_longer(node: Clone, make_clone: MakeClone, measured: Measured) -> None:
    ready(node)
    beside = make_clone("beside", mac=node.mac, lan=node.lan)
    beside.boot()
    # It hears the other, whose daemon was restarted above, or it would not know that it is a twin.
    assert ready(beside)["node"]["origin"] == "twin"
    restart(beside)
    waits = waits_s(beside)[-RESTARTS:]
    measured(Cost.WAIT_BESIDE, statistics.median(waits))
