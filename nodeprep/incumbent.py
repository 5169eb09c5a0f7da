"""Incumbent: the one machine, of all copies of a disk, that speaks for its owner in the registry.

It opens the registry, takes the owner's record (`registry/tenure.py`), answers whoever asks whether it runs, asks
others the same, and says when it is shut down in order. Every method that asks the registry raises RegistryError.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from nodeprep.errors import RegistryError, away, refused
from nodeprep.host.local import LocalMachine
from nodeprep.patience import within
from nodeprep.registry import tenure as tenures
from nodeprep.registry.claimed import Speaker
from nodeprep.registry.gateway import Absent, Answer, Condition, Delete, Entry, Get, Put, Says, Txn, Unchanged
from nodeprep.registry.keys import Keys
from nodeprep.registry.tenure import Record, Standing, Tenure

CALL_MAX_S = 40.0
"""The door bounds its calls itself; this is for what it cannot bound, the resolver."""
AGAIN_S = 1.0
ANSWER_S = 12.0
"""How long an incumbent is given to answer whether it runs: over two of its looks at the registry."""
ASK_AGAIN_S = 0.5
PARK_S = 3.0
TAKES_MAX = 8
TICKETS_KEPT = 4


class Door(Protocol):
    """The way to the registry; `commit` blocks, and raises RegistryError."""

    @property
    def member(self) -> str: ...

    def commit(self, txn: Txn) -> Answer: ...

    def hang_up(self) -> None: ...

    def close(self) -> None: ...


class Incumbent:
    """This machine in the registry. `tenure` is what its disk knows, `record` its owner's record once that is ours."""

    def __init__(
        self, door: Door, prefix: str, fleet_keys: Sequence[bytes], files: LocalMachine, nonce: bytes, wait_s: float
    ) -> None:
        self._door = door
        self._keyrings = tuple(
            Keys(prefix, key, tuple(other for other in fleet_keys if other != key)) for key in fleet_keys
        )
        self._files = files
        self._boot = hashlib.sha256(b"registry" + nonce).hexdigest()[:32]
        self._patience_s = wait_s
        self._is_open = False
        self.keys = self._keyrings[0]
        self.tenure: Tenure = tenures.read(files) or Tenure("", "")
        self.record = ""
        self.heard_s = time.monotonic()

    @property
    def where(self) -> str:
        """Which registry it is."""
        return f"{self._door.member} {self.keys.prefix}"

    @property
    def place(self) -> str:
        """The key of our owner's record."""
        return self.keys.owner(self.tenure.owner)

    @property
    def still(self) -> Says:
        """The condition that nobody else speaks for our owner meanwhile."""
        return Says(self.place, self.record)

    async def commit(self, txn: Txn) -> Answer:
        """Carry out a transaction, in a worker thread."""
        try:
            answer = await within(asyncio.to_thread(self._door.commit, txn), CALL_MAX_S)
        except asyncio.TimeoutError as error:
            raise away(f"{self.where}: no answer within {CALL_MAX_S:g} s") from error
        self.heard_s = time.monotonic()
        return answer

    async def get(self, key: str) -> Entry | None:
        """Return what lies under a key."""
        return (await self.commit(Txn((), (Get(key),)))).entries[0]

    def hang_up(self) -> None:
        """Go to the registry anew: this machine's address has changed."""
        self._door.hang_up()

    def close(self) -> None:
        """Close the door."""
        self._door.close()

    async def open(self) -> None:
        """Wait until the registry answers, once as long as is configured, and see that our fleet's key made it."""
        if self._is_open:
            return
        until_s = time.monotonic() + self._patience_s
        while True:
            try:
                await self._recognise()
                self._is_open = True
                return
            except RegistryError as error:
                if error.code != "registry-away" or time.monotonic() >= until_s:
                    self._patience_s = 0.0
                    raise
            await asyncio.sleep(AGAIN_S)

    async def _recognise(self) -> None:
        """Find which of our keys made the registry; the one that we speak follows it, once nobody speaks another."""
        spoken = self._keyrings[0]
        making = (Absent(spoken.fleet),), (Put(spoken.fleet, spoken.seal),), (Get(spoken.fleet), Get(spoken.successor))
        answer = await self.commit(Txn(*making))
        if answer.succeeded:
            return
        made, next_one = (entry.value if entry else "" for entry in answer.entries)
        known = next((keys for keys in self._keyrings if keys.seal == made), None)
        as_read = Says(spoken.fleet, made)
        if known is None and next_one == spoken.seal:
            # What was claimed under the former key was claimed under ours as well, by all that accepted both.
            follow = (Put(spoken.fleet, spoken.seal), Delete(spoken.successor))
            moved = await self.commit(Txn((as_read, Says(spoken.successor, next_one)), follow, (Get(spoken.fleet),)))
            entry = None if moved.succeeded else moved.entries[0]
            known = spoken if moved.succeeded or (entry and entry.value == spoken.seal) else None
        if known is None:
            raise refused(f"{self.where} was made with another fleet key: use that key, or another registry.prefix")
        if known is not spoken and next_one != spoken.seal:
            await self.commit(Txn((as_read,), (Put(spoken.successor, spoken.seal),)))
        self.keys = known

    async def take(self, speaker: Speaker) -> Standing:
        """Become the one that speaks for this disk's owner.

        OURS: that is done. RUNNING: a copy of this disk runs. ANOTHERS: a copy did, and is silent.
        """
        fresh = secrets.token_hex(16)
        tenure = tenures.bound(self.tenure, speaker.machine, speaker.template, fresh, renews=speaker.renews)
        if tenure.owner != self.tenure.owner:
            await self.abandon()
        self.remember(tenure)
        entry = await self.get(self.place)
        for _ in range(TAKES_MAX):
            record = tenures.read_record(entry)
            if entry and record and record.boot == self._boot and record.up:
                self.record = entry.value
                return Standing.OURS
            standing = tenures.standing(self.tenure, record, self._boot)
            is_up = record is not None and record.up and standing in (Standing.RUNNING, Standing.ANOTHERS)
            if is_up and await self._answers(self.tenure.owner):
                return Standing.RUNNING
            if standing is Standing.ANOTHERS and not speaker.insists:
                return Standing.ANOTHERS
            ticket = secrets.token_hex(16)
            self.remember(replace(self.tenure, tickets=(*self.tenure.tickets, ticket)[-TICKETS_KEPT:]))
            mine = tenures.write_record(Record(ticket, self._boot, up=True))
            as_read: Condition = Unchanged(self.place, entry.revision) if entry else Absent(self.place)
            answer = await self.commit(Txn((as_read,), (Put(self.place, mine), Get(self.place)), (Get(self.place),)))
            entry = answer.entries[0]
        raise away(f"{self.where}: others write faster than we can")

    async def abandon(self) -> int:
        """Free all that our owner has claimed, if we speak for it, and its record; return how many claims that were."""
        if not self.record:
            return 0
        owner, still = self.tenure.owner, self.still
        freed = 0
        # The record first: without it nothing is claimed for this owner any more, by a daemon that is just about to.
        await self.commit(Txn((still,), (Delete(self.place), Delete(self.keys.question(owner)))))
        for key in self.tenure.claims:
            freed += (await self.commit(Txn((Says(key, owner),), (Delete(key),)))).succeeded
        return freed

    async def runs(self, owner: str) -> bool:
        """Whether the machine that speaks for an owner runs, as far as that can be told."""
        record = tenures.read_record(await self.get(self.keys.owner(owner)))
        return record is not None and record.up and await self._answers(owner)

    async def _answers(self, owner: str) -> bool:
        """Ask an owner whether it runs, and wait for its answer: its record, written anew since."""
        question = self.keys.question(owner)
        asked = await self.commit(Txn((), (Put(question, self._boot),)))
        until_s = time.monotonic() + ANSWER_S
        while time.monotonic() < until_s:
            await asyncio.sleep(ASK_AGAIN_S)
            entry = await self.get(self.keys.owner(owner))
            if entry is None or entry.revision > asked.revision:
                record = tenures.read_record(entry)
                return record is not None and record.up
        await self.commit(Txn((Says(question, self._boot),), (Delete(question),)))
        return False

    async def answer(self) -> None:
        """Answer whoever asks whether we run, by writing our record once more."""
        if not self.record:
            return
        place, record, question = self.place, self.record, self.keys.question(self.tenure.owner)
        asked = await self.get(question)
        if asked and asked.value != self._boot:
            await self.commit(Txn((Says(place, record),), (Put(place, record), Delete(question))))

    async def park(self) -> None:
        """Say that this machine is shut down in order, so that its next boot need not ask."""
        if self.record:
            down = tenures.write_record(Record(self.tenure.tickets[-1], self._boot, up=False))
            try:
                await within(self.commit(Txn((self.still,), (Put(self.place, down),))), PARK_S)
            except asyncio.TimeoutError as error:
                raise away(f"{self.where}: no answer within {PARK_S:g} s") from error

    def remember(self, tenure: Tenure) -> None:
        """Write the tenure down, if it is another. Raises HostError."""
        if tenure == self.tenure:
            return
        self._files.write_own(tenures.PATH, tenures.encode(tenure).encode(), 0o600)
        if tenure.owner != self.tenure.owner:
            self.record = ""
        self.tenure = tenure
