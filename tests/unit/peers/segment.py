"""Segment: a simulated broadcast domain of machines that each run a census; equal seeds give equal histories."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable
from dataclasses import dataclass, field

from nodeprep.peers.census import Census
from nodeprep.peers.keyring import Keyring
from nodeprep.peers.message import Claim, ClaimKind, Standing, claim
from nodeprep.peers.rules import Clear, Dispute, Effect, Lost, Rejected, Send

FLEET_KEY = bytes(range(32))
RENEWALS_MAX = 8

TEMPLATE = frozenset(
    {
        claim(FLEET_KEY, ClaimKind.MACHINE_ID, "0123456789abcdef0123456789abcdef"),
        claim(FLEET_KEY, ClaimKind.HOSTNAME, "worker-template"),
        claim(FLEET_KEY, ClaimKind.MAC, "02:00:00:00:00:01"),
        claim(FLEET_KEY, ClaimKind.IPV4, "10.77.0.10"),
        claim(FLEET_KEY, ClaimKind.SSH_HOST_KEY, "AAAAC3NzaC1lZDI1NTE5AAAAI"),
    }
)


@dataclass
class Machine:
    """One machine: a census, and a caller who renews what it loses, or holds if it is joined."""

    number: int
    census: Census
    claims: frozenset[Claim]
    standing: Standing
    renewals: int = 0
    ready_s: float | None = None
    clear_s: float | None = None
    log: list[Effect] = field(default_factory=list)

    def said(self, kind: type[Effect]) -> list[Effect]:
        return [effect for effect in self.log if isinstance(effect, kind)]


class Segment:
    """Carries each frame to every other machine, after a delay of its own, unless it is lost."""

    def __init__(
        self,
        seed: int,
        *,
        loss: float = 0.0,
        duplication: float = 0.0,
        delay_max_s: float = 0.004,
        renewal_s: tuple[float, float] = (0.2, 1.5),
        pool: int | None = None,
    ) -> None:
        self._rng = random.Random(seed)
        self.loss = loss
        self._duplication = duplication
        self._delay_max_s = delay_max_s
        self._renewal_s = renewal_s
        self._pool = pool
        self._events: list[tuple[float, int, str, Machine, bytes]] = []
        self._order = 0
        self.now = 0.0
        self.machines: list[Machine] = []
        self.frames: list[tuple[float, int, bytes]] = []
        self.cut: set[int] = set()

    def boot(
        self,
        claims: frozenset[Claim] = TEMPLATE,
        *,
        standing: Standing = Standing.PROBING,
        nonce: bytes | None = None,
        fleet_key: bytes = FLEET_KEY,
    ) -> Machine:
        """Switch a machine on now; it probes at once."""
        census = Census(nonce or self._rng.randbytes(16), Keyring((fleet_key,)))
        machine = Machine(len(self.machines), census, claims, standing)
        self.machines.append(machine)
        self.act(machine, census.probe(self.now, claims, standing))
        return machine

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end_s = self.now + seconds
        while self._events and self._events[0][0] <= end_s:
            self.now, _, what, machine, payload = heapq.heappop(self._events)
            if what == "frame":
                self.act(machine, machine.census.receive(self.now, payload))
            elif what == "renewed":
                self._renew(machine)
            elif machine.census.deadline is not None and machine.census.deadline <= self.now:
                self.act(machine, machine.census.tick(self.now))
        self.now = end_s

    def inject(self, payloads: Iterable[bytes]) -> None:
        """Put frames on the segment that none of its machines sends now."""
        for payload in payloads:
            for machine in self.machines:
                self._at(self.now, "frame", machine, payload)

    def act(self, machine: Machine, effects: tuple[Effect, ...]) -> None:
        """Carry out what a census asked for."""
        for effect in effects:
            if isinstance(effect, Send):
                self._broadcast(machine, effect.payload)
                continue
            if isinstance(effect, Rejected):
                continue  # counted by the census
            machine.log.append(effect)
            if isinstance(effect, Clear):
                machine.clear_s = machine.ready_s = self.now
                self.act(machine, machine.census.ready(self.now))
            elif isinstance(effect, Lost | Dispute) and machine.ready_s is None:
                self._yield(machine)
        if machine.census.deadline is not None:
            self._at(machine.census.deadline, "tick", machine, b"")

    def ready(self) -> list[Machine]:
        return [machine for machine in self.machines if machine.ready_s is not None]

    def shared(self) -> list[tuple[Machine, Machine]]:
        """The pairs of READY machines that present one claim."""
        ready = self.ready()
        return [(a, b) for a in ready for b in ready if a.number < b.number and a.claims & b.claims]

    def _yield(self, machine: Machine) -> None:
        if machine.standing is Standing.JOINED:
            self.act(machine, machine.census.hold(self.now))
        else:
            self._at(self.now + self._rng.uniform(*self._renewal_s), "renewed", machine, b"")

    def _renew(self, machine: Machine) -> None:
        """Give the machine new claims of the kinds that it lost since it last probed."""
        lost = frozenset(claim for effect in machine.log if isinstance(effect, Lost) for claim in effect.claims)
        gone = machine.claims & lost
        if not gone:
            return
        machine.renewals += 1
        if machine.renewals > RENEWALS_MAX:
            self.act(machine, machine.census.hold(self.now))
            return
        new = frozenset(claim(FLEET_KEY, each.kind, self._fresh()) for each in sorted(gone))
        machine.claims = machine.claims - gone | new
        self.act(machine, machine.census.probe(self.now, machine.claims, machine.standing))

    def _fresh(self) -> str:
        return str(self._rng.randrange(self._pool) if self._pool else self._rng.getrandbits(128))

    def _broadcast(self, sender: Machine, payload: bytes) -> None:
        self.frames.append((self.now, sender.number, payload))
        for machine in self.machines:
            if machine is sender or machine.number in self.cut or sender.number in self.cut:
                continue
            for _ in range(2 if self._rng.random() < self._duplication else 1):
                if self._rng.random() >= self.loss:
                    self._at(self.now + self._rng.uniform(0.0001, self._delay_max_s), "frame", machine, payload)

    def _at(self, when_s: float, what: str, machine: Machine, payload: bytes) -> None:
        self._order += 1
        heapq.heappush(self._events, (max(when_s, self.now), self._order, what, machine, payload))
