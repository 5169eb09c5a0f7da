"""Registrar: what this machine claims in the fleet's registry, before it says READY and as long as it runs.

The registry is asked last, by a machine that nothing else keeps from being ready, so that no copy that is held anyway
takes anything from its original. What another machine has is lost as if to a peer where that machine runs, or where
this one is renewed in any case. A holder that does not answer may be this very machine, as it was before a backup was
restored or /var was made anew: then nothing is renewed, and an operator decides.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice

from nodeprep.config import Registry
from nodeprep.errors import RegistryError, away, refused
from nodeprep.host.local import LocalMachine
from nodeprep.host.registry.etcd import Credentials, Etcd
from nodeprep.incumbent import TAKES_MAX, Door, Incumbent
from nodeprep.model import Claim
from nodeprep.registry.claimed import Claimed, Claims, Speaker, Troubles
from nodeprep.registry.gateway import Absent, Condition, Delete, Entry, Get, Put, Says, Txn, Unchanged
from nodeprep.registry.tenure import Standing

RELEASED = "/run/nodeprep/released"
"""There until the next boot, once `nodeprep release` has given up what this machine claims."""
LOOK_S = 5.0
SETTLING_LOOK_S = 1.0
"""How often questions are looked for before READY, when copies that boot at the same time ask them."""
WINDOW = 64
DRAWS_MAX = 1024
"""So many others can have been quicker, number by number."""


class Registrar:
    """One daemon's dealings with the registry; `on_news` is called when `troubles` has become another."""

    def __init__(self, incumbent: Incumbent, files: LocalMachine, on_news: Callable[[], None], wait_s: float) -> None:
        self._incumbent = incumbent
        self._files = files
        self._on_news = on_news
        self._wait_s = wait_s
        self._speaker: Speaker | None = None
        self._defended: Claims = {}
        self._attending: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self.claimed = 0
        self.troubles: Troubles = ()

    @property
    def where(self) -> str:
        """Which registry it is."""
        return self._incumbent.where

    @property
    def is_released(self) -> bool:
        """Whether an operator has given up this machine's claims in this boot."""
        return self._files.exists(RELEASED)

    # Before READY

    async def claim(self, speaker: Speaker, claims: Claims) -> Claimed:
        """Claim all of that for this machine, and free what it claimed before and has no more. Raises RegistryError."""
        async with self._turn:
            await self._incumbent.open()
            for _ in range(TAKES_MAX):
                if self.is_released:
                    raise RegistryError("released", self.given_up()[0][1])
                standing = await self._take(speaker)
                if standing is Standing.RUNNING:
                    return Claimed(lost=dict(claims), is_copy=True)
                if standing is not Standing.OURS:
                    return Claimed(doubted=dict(claims), is_copy=True)
                found = await self._claim(speaker, self._incumbent.keys.claims(claims))
                if found is not None:
                    return found
            raise away(f"{self.where}: others write faster than we can")

    async def draw(self, speaker: Speaker, names: Iterable[str]) -> str | None:
        """Claim the first of these hostnames that nobody has; None where there is none. Raises RegistryError.

        Only for a machine that is renewed, whose owner is its own.
        """
        async with self._turn:
            await self._incumbent.open()
            if await self._take(speaker) is not Standing.OURS:
                raise away(f"{self.where}: a copy of this machine speaks for it")
            source = iter(names)
            while window := tuple(islice(source, WINDOW)):
                if name := await self._draw(window):
                    return name
        return None

    async def _draw(self, window: Sequence[str]) -> str | None:
        """Claim the first free one of a window, as often as others are quicker."""
        keys = [self._incumbent.keys.claim(Claim.HOSTNAME, name) for name in window]
        owner, gets = self._incumbent.tenure.owner, tuple(map(Get, keys))
        answer = await self._incumbent.commit(Txn((), gets))
        for _ in range(DRAWS_MAX):
            free = (n for n, entry in enumerate(answer.entries) if entry is None or entry.value == owner)
            place = next(free, None)
            if place is None:
                return None
            self._note(keys[place])
            if answer.entries[place] is None:
                claiming = (Absent(keys[place]), self._incumbent.still)
                answer = await self._incumbent.commit(Txn(claiming, (Put(keys[place], owner),), gets))
                if not answer.succeeded:
                    continue
            return window[place]
        raise away(f"{self.where}: others draw numbers faster than we can")

    async def spare(self, speaker: Speaker, claim: Claim, value: str) -> bool:
        """Claim one value, if it is not another machine's; what cannot be told now is seen before READY."""
        if not self._incumbent.record:
            return True
        async with self._turn:
            try:
                if await self._take(speaker) is not Standing.OURS:
                    return True
                key = self._incumbent.keys.claim(claim, value)
                self._note(key)
                entry, _ = await self._claim_one(key)
            except RegistryError:
                return True
        return entry is None or entry.value == self._incumbent.tenure.owner

    def hang_up(self) -> None:
        """Go to the registry anew: this machine's address has changed."""
        self._incumbent.hang_up()

    async def _take(self, speaker: Speaker) -> Standing:
        standing = await self._incumbent.take(speaker)
        if standing is Standing.OURS:
            self._attend()
        return standing

    def _note(self, *keys: str) -> None:
        """Write down what is going to be claimed, so that it can be freed. Raises HostError."""
        tenure = self._incumbent.tenure
        self._incumbent.remember(replace(tenure, claims=tuple(sorted({*tenure.claims, *keys}))))

    async def _claim(self, speaker: Speaker, wanted: Mapping[str, tuple[Claim, str]]) -> Claimed | None:
        """Claim these keys; None where another has begun to speak for our owner meanwhile."""
        self._note(*wanted)
        owner = self._incumbent.tenure.owner
        found, running = Claimed(), dict[str, bool]()
        for key, (claim, value) in wanted.items():
            entry, is_ours = await self._claim_one(key)
            if not is_ours:
                return None
            if entry is None or entry.value == owner:
                continue
            if entry.value not in running:
                running[entry.value] = speaker.renews or await self._incumbent.runs(entry.value)
            if running[entry.value]:
                found.add(claim, value, lost=True)
            elif not speaker.insists or not await self._put(Unchanged(key, entry.revision), key):
                found.add(claim, value, lost=False)
        if not found:
            await self._free(wanted)
        return found

    async def _claim_one(self, key: str) -> tuple[Entry | None, bool]:
        """Claim a key where nobody has it; return who has it, and whether our owner's record is still ours."""
        at = self._incumbent
        claiming = (Absent(key), at.still)
        answer = await at.commit(Txn(claiming, (Put(key, at.tenure.owner),), (Get(key), Get(at.place))))
        if answer.succeeded:
            return None, True
        entry, record = answer.entries
        return entry, record is not None and record.value == at.record

    async def _put(self, condition: Condition, key: str) -> bool:
        at = self._incumbent
        return (await at.commit(Txn((condition, at.still), (Put(key, at.tenure.owner),)))).succeeded

    async def _free(self, wanted: Iterable[str]) -> None:
        """Free what this owner has claimed and does not present any more."""
        tenure = self._incumbent.tenure
        for key in sorted(set(tenure.claims) - set(wanted)):
            await self._incumbent.commit(Txn((Says(key, tenure.owner),), (Delete(key),)))
        self._incumbent.remember(replace(tenure, claims=tuple(sorted(wanted))))
        self.claimed = len(self._incumbent.tenure.claims)

    # As long as it runs

    def defend(self, speaker: Speaker, claims: Claims) -> None:
        """Look after these claims from now on; they may change."""
        self._speaker = replace(speaker, renews=False, insists=False)
        self._defended = claims
        self._attend()

    def rest(self) -> None:
        """Look after nothing but questions: this machine is not ready."""
        self._defended = {}

    def given_up(self) -> Troubles:
        """Return what is to be said once an operator has given up what this machine claims."""
        return (("released", f"what this machine had claimed in {self.where} is free"),)

    # What an operator gives up

    async def begin_giving_up(self) -> None:
        """See that it is this machine that speaks for its claims. Raises RegistryError, also where a copy does."""
        at = self._incumbent
        await at.open()
        if at.tenure.owner and await at.take(Speaker(at.tenure.machine)) is not Standing.OURS:
            raise refused(f"another copy of this machine speaks for its claims in {self.where}")

    async def give_up(self) -> int:
        """Free all that this machine has claimed, and return how much that was. Raises RegistryError."""
        return await self._incumbent.abandon()

    async def free(self, claim: Claim, value: str) -> bool:
        """Free what a machine that is gone has claimed; whether anybody had. Raises RegistryError, also if it runs."""
        at = self._incumbent
        await at.open()
        found = {key: entry for key in at.keys.claims({claim: frozenset({value})}) if (entry := await at.get(key))}
        for owner in {entry.value for entry in found.values()}:
            if owner == at.tenure.owner:
                raise refused(f"{value}: this machine has claimed it: `nodeprep release` gives up all that it has")
            if await at.runs(owner):
                raise refused(f"{value}: the machine that has claimed it runs")
        freed = [await at.commit(Txn((Unchanged(k, entry.revision),), (Delete(k),))) for k, entry in found.items()]
        return any(answer.succeeded for answer in freed)

    async def park(self) -> None:
        """Say that this machine is shut down in order. Raises RegistryError."""
        if self._attending:
            self._attending.cancel()
        if not self.is_released:
            await self._incumbent.park()

    def close(self) -> None:
        """Stop looking after anything."""
        if self._attending:
            self._attending.cancel()
        self._incumbent.close()

    def _attend(self) -> None:
        if self._attending is None or self._attending.done():
            self._attending = asyncio.get_running_loop().create_task(self._look_after())

    async def _look_after(self) -> None:
        """Answer questions, and see that what is defended is there."""
        while True:
            await asyncio.sleep(LOOK_S if self._defended else SETTLING_LOOK_S)
            troubles = self.troubles
            try:
                if self.is_released:
                    troubles = self.given_up()
                else:
                    await self._incumbent.answer()
                    troubles = await self._check()
            except RegistryError as error:
                is_late = time.monotonic() >= self._incumbent.heard_s + max(self._wait_s, LOOK_S)
                if error.code != "registry-away" or is_late:
                    troubles = ((error.code, str(error)),)
            if self._defended and troubles != self.troubles:
                self.troubles = troubles
                self._on_news()

    async def _check(self) -> Troubles:
        """Return what is wrong with what is defended; what is missing is claimed again."""
        speaker, claims, at = self._speaker, self._defended, self._incumbent
        if not claims or speaker is None:
            return ()
        wanted = at.keys.claims(claims)
        if at.record and set(wanted) == set(at.tenure.claims):
            seen = await at.commit(Txn((), tuple(map(Get, (at.place, *islice(wanted, WINDOW))))))
            record, *held = seen.entries
            is_whole = all(entry is not None and entry.value == at.tenure.owner for entry in held)
            if record and record.value == at.record and is_whole:
                return ()
        return (await self.claim(speaker, claims)).troubles(self.where)


def make_registrar(
    settings: Registry, fleet_keys: Sequence[bytes], files: LocalMachine, nonce: bytes, on_news: Callable[[], None]
) -> Registrar:
    """Return the registrar of a machine that has a registry."""
    credentials = Credentials(settings.ca, settings.cert, settings.key, settings.user, settings.password_file)
    door: Door = Etcd(settings.etcd, credentials)
    incumbent = Incumbent(door, settings.prefix, fleet_keys, files, nonce, settings.wait_s)
    return Registrar(incumbent, files, on_news, settings.wait_s)
