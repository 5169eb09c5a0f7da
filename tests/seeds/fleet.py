"""A fleet in memory: machines that each run a census on one segment, under a seeded scheduler.

Frames are lost, late, doubled and out of order; the segment is parted and merges; daemons crash and start again, and
machines lose their power. Equal seeds give equal histories. What travels are messages and not bytes: the codec has
tests of its own, and without it a machine costs a tenth.
"""

from __future__ import annotations

import contextlib
import heapq
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

from nodeprep.peers.census import Census
from nodeprep.peers.keyring import Keyring
from nodeprep.peers.message import BadFrame, Claim, ClaimKind, Message, Reason, Standing
from nodeprep.peers.rules import Clear, Dispute, Effect, Kept, Lost, Rejected, Resolved, Send

OLD_KEY, NEW_KEY = KEYS = (bytes(range(32)), bytes(range(32, 64)))
STEPS = (Keyring((OLD_KEY,)), Keyring((OLD_KEY, NEW_KEY)), Keyring((NEW_KEY, OLD_KEY)), Keyring((NEW_KEY,)))
"""The steps of a rotation."""
KEYRING = STEPS[0]
RENEWALS_MAX = 4
"""Settler's ROUNDS_MAX: after so many in one boot a machine holds."""
RENEWAL_S = (0.2, 1.5)
CRASH_S = 1.0
DELAYS = 5


@contextlib.contextmanager
def without_codec() -> Iterator[None]:
    """Have every census hand out and take in messages as they are."""
    with (
        mock.patch("nodeprep.peers.keyring.encode", lambda message, key: ((key, message),)),
        mock.patch("nodeprep.peers.census.peek", lambda payload: (payload[1].nonce, payload[1].stamp)),
        mock.patch("nodeprep.peers.keyring.decode", _decode),
    ):
        yield


def _decode(payload: tuple[bytes, Message], key: bytes) -> Message:
    if payload[0] is not key:
        raise BadFrame(Reason.UNAUTHENTIC)
    return payload[1]


def identity(number: int) -> frozenset[Claim]:
    """Return the claims of a machine that is nobody's twin; number 0 is the template."""
    return frozenset(Claim(kind, number.to_bytes(15, "big") + bytes((kind,))) for kind in ClaimKind)


TEMPLATE = identity(0)


def keyed(claims: frozenset[Claim], keyring: Keyring) -> frozenset[Claim]:
    """Return claims with a token for each key; those of the old one are the claims as they are."""
    if keyring is KEYRING:
        return claims
    tokens = ((one.kind, [_token(one, KEYS.index(key)) for key in keyring.keys]) for one in claims)
    return frozenset(Claim(kind, first, others=tuple(others)) for kind, (first, *others) in tokens)


def unkeyed(claims: frozenset[Claim]) -> frozenset[Claim]:
    return frozenset(Claim(one.kind, _token(one, 0)) for one in claims)


def _token(one: Claim, key: int) -> bytes:
    return one.token[:15] + bytes((one.kind + 64 * key,))


@dataclass(eq=False)
class Machine:
    """One machine: what survives a crash of its daemon, and what survives a loss of power."""

    number: int
    claims: frozenset[Claim]
    standing: Standing
    nonce: bytes = b""
    keyring: Keyring = KEYRING
    census: Census = field(init=False)
    boots: int = 0
    up: bool = False
    said_ready: frozenset[Claim] | None = None
    ready_s: float = 0.0
    began_s: float = 0.0
    renewals: int = 0
    lost: frozenset[Claim] = frozenset()
    disputes: set[bytes] = field(default_factory=set)
    life: int = 0
    side: int = 0
    due_s: float = float("inf")
    deaf: list[tuple[float, float]] = field(default_factory=list)
    """When it was ready and its daemon down: a machine that probes then is told nothing."""


@dataclass(frozen=True)
class Double:
    """Two machines that were READY with one claim at one time."""

    first: int
    second: int
    at_s: float
    apart: bool
    """They could not hear one another for a while when the second probed: the segment was parted, or a daemon down."""


class Fleet:
    """The machines, the segment between them, and the scheduler."""

    def __init__(self, seed: int, *, loss: float, duplication: float = 0.0, delay_max_s: float = 0.004) -> None:
        self.rng = random.Random(seed)
        self.loss = loss
        self._duplication = duplication
        self._delays = [delay_max_s * (step + 1) / DELAYS for step in range(DELAYS)]
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        self._fresh = 1_000_000
        self.now = 0.0
        self.frames = 0
        self.machines: list[Machine] = []
        self.doubles: list[Double] = []
        self.broken: list[str] = []
        self._parted: list[tuple[float, float]] = []
        self.is_routed = False
        """Nobody hears what is addressed to somebody else, as beyond routers."""

    # What a scenario does

    def add(self, claims: frozenset[Claim] = TEMPLATE, standing: Standing = Standing.PROBING) -> Machine:
        machine = Machine(len(self.machines), claims, standing)
        self.machines.append(machine)
        return machine

    def at(self, when_s: float, what: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._events, (when_s, self._order, what))

    def boot(self, machine: Machine) -> None:
        """Power on, or off and on again: another nonce, and nothing remembered but what is on the disk."""
        machine.boots += 1
        machine.nonce = self.rng.randbytes(16)
        machine.said_ready = None
        machine.renewals = 0
        self._start(machine, machine.standing)

    def crash(self, machine: Machine) -> None:
        """Kill the daemon; systemd starts it again, under the same nonce and as ready as it was."""
        if machine.up:
            machine.up = False
            machine.life += 1
            machine.disputes.clear()
            machine.deaf.append((self.now, self.now + CRASH_S))
            standing = Standing.READY if machine.said_ready else machine.standing
            life = machine.life
            self.at(self.now + CRASH_S, lambda: self._start(machine, standing) if machine.life == life else None)

    def rekey(self, machine: Machine, keyring: Keyring) -> None:
        """Give a machine other keys, as its daemon takes them up: between two judgements, as ready as it is."""
        if machine.up and machine.lost:
            self.at(self.now + 0.5, lambda: self.rekey(machine, keyring))
            return
        machine.keyring = keyring
        if machine.up:
            machine.disputes.clear()
            self._probe(machine, Standing.READY if machine.said_ready else machine.standing)

    def part(self, sides: list[int]) -> None:
        """Have only machines of one side hear each other."""
        for machine, side in zip(self.machines, sides, strict=True):
            machine.side = side
        self._parted.append((self.now, float("inf")))

    def merge(self) -> None:
        for machine in self.machines:
            machine.side = 0
        if self._parted:
            self._parted[-1] = (self._parted[-1][0], self.now)

    def ready_before(self, machine: Machine) -> None:
        """Make a machine ready without the work of it: it was there long before."""
        machine.nonce = self.rng.randbytes(16)
        machine.census = Census(machine.nonce, machine.keyring)
        machine.census.probe(self.now - 1000.0, keyed(machine.claims, machine.keyring), Standing.PROBING)
        while not machine.census.clear:
            machine.census.tick(machine.census.deadline or 0.0)
        machine.census.ready(self.now - 990.0)
        while (machine.census.deadline or self.now) < self.now:
            machine.census.tick(machine.census.deadline or 0.0)
        machine.up, machine.said_ready, machine.ready_s = True, machine.claims, self.now - 990.0
        self._wake(machine)

    def run(self, until_s: float) -> None:
        while self._events and self._events[0][0] <= until_s:
            self.now, _, what = heapq.heappop(self._events)
            what()
        self.now = until_s

    # What must hold

    @property
    def unreported(self) -> list[Double]:
        """Doubles that are there still, and that one of the two does not report."""
        left = []
        for double in self.doubles:
            one, other = self.machines[double.first], self.machines[double.second]
            both = one.up and other.up and one.said_ready and other.said_ready
            if both and one.claims & other.claims and not (other.nonce in one.disputes and one.nonce in other.disputes):
                left.append(double)
        return left

    @property
    def unready(self) -> list[Machine]:
        """Machines that are on and neither ready nor held by a contest that is proven."""
        return [m for m in self.machines if m.up and m.said_ready is None and m.standing is Standing.PROBING]

    # How a machine behaves

    def _start(self, machine: Machine, standing: Standing) -> None:
        machine.up = True
        machine.life += 1
        machine.lost = frozenset()
        machine.disputes.clear()
        machine.census = Census(machine.nonce, machine.keyring)
        machine.due_s = float("inf")
        self._probe(machine, standing)

    def _probe(self, machine: Machine, standing: Standing) -> None:
        machine.began_s = self.now
        claims = keyed(machine.claims, machine.keyring)
        self._act(machine, machine.census.probe(self.now, claims, standing, machine.keyring))

    def _act(self, machine: Machine, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            match effect:
                case Send(payload, _, to):
                    self._broadcast(machine, payload, to if self.is_routed else frozenset())
                case Clear():
                    self._say_ready(machine)
                case Lost(claims) if machine.said_ready is None:
                    self._yield(machine, claims)
                case Lost():
                    self.broken.append(f"{self.now:.3f} machine {machine.number} is ready and lost")
                case Dispute(_, against):
                    machine.disputes.add(against)
                    if machine.said_ready is None and machine.standing is Standing.JOINED:
                        self._hold(machine)
                case Resolved(_, against):
                    machine.disputes.discard(against)
                case Kept() | Rejected():
                    pass
        self._wake(machine)

    def _say_ready(self, machine: Machine) -> None:
        if machine.said_ready is None:
            machine.said_ready, machine.ready_s = machine.claims, self.now
            for other in self.machines:
                if other is not machine and other.said_ready and other.up and other.claims & machine.claims:
                    deaf = (*self._parted, *other.deaf)
                    apart = any(machine.began_s < end and begin < self.now for begin, end in deaf)
                    self.doubles.append(Double(other.number, machine.number, self.now, apart))
        elif machine.said_ready != machine.claims:
            self.broken.append(f"{self.now:.3f} machine {machine.number} changed after it was ready")
        self._act(machine, machine.census.ready(self.now))

    def _yield(self, machine: Machine, claims: frozenset[Claim]) -> None:
        if machine.standing is Standing.JOINED or machine.renewals >= RENEWALS_MAX:
            self._hold(machine)
            return
        if not machine.lost:
            life = machine.life
            self.at(
                self.now + self.rng.uniform(*RENEWAL_S),
                lambda: self._renew(machine) if machine.life == life else None,
            )
        machine.lost |= unkeyed(claims)

    def _hold(self, machine: Machine) -> None:
        life = machine.life
        # Not within the effects of the census that asks for it.
        self.at(self.now, lambda: self._act(machine, machine.census.hold(self.now)) if machine.life == life else None)

    def _renew(self, machine: Machine) -> None:
        machine.renewals += 1
        if machine.renewals > RENEWALS_MAX:
            self.broken.append(f"{self.now:.3f} machine {machine.number} renewed {machine.renewals} times")
        self._fresh += 1
        new = {claim.kind: claim for claim in identity(self._fresh)}
        gone, machine.lost = machine.claims & machine.lost, frozenset()
        machine.claims = machine.claims - gone | {new[claim.kind] for claim in gone}
        self._probe(machine, machine.standing)

    def _wake(self, machine: Machine) -> None:
        deadline = machine.census.deadline
        if deadline is not None and deadline < machine.due_s:
            machine.due_s = deadline
            life = machine.life
            self.at(deadline, lambda: self._tick(machine, life))

    def _tick(self, machine: Machine, life: int) -> None:
        if machine.up and machine.life == life:
            machine.due_s = float("inf")
            self._act(machine, machine.census.tick(self.now))

    def _broadcast(self, sender: Machine, message: Any, to: frozenset[bytes]) -> None:
        self.frames += 1
        chance, loss, doubled = self.rng.random, self.loss, self._duplication
        groups: list[list[Machine]] = [[] for _ in self._delays]
        for machine in self.machines:
            if machine is sender or (to and machine.nonce not in to):
                continue
            if machine.up and machine.side == sender.side:
                for _ in range(2 if doubled and chance() < doubled else 1):
                    if not loss or chance() >= loss:
                        groups[int(chance() * DELAYS)].append(machine)
        for delay_s, group in zip(self._delays, groups, strict=True):
            if group:
                self.at(self.now + delay_s, lambda group=group: self._deliver(group, message))  # type: ignore[misc]

    def _deliver(self, group: list[Machine], message: Message) -> None:
        for machine in group:
            if machine.up:
                self._act(machine, machine.census.receive(self.now, message))  # type: ignore[arg-type]
