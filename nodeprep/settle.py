"""Settling: renew and probe in turns until nobody contests what this machine presents, or nothing more can be done.

Judging and planning are pure and applying is one function; what is here is their order in time around the wire.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from nodeprep import fleetkey, judge, naming, run, tell
from nodeprep.address import secure_address
from nodeprep.contest import Contest
from nodeprep.errors import HostError, RegistryError
from nodeprep.guard import foreign_holders
from nodeprep.host.foreman import Foreman
from nodeprep.host.local import LocalMachine
from nodeprep.model import Claim, Sighting, Stage, Verdict
from nodeprep.numbering import secure_number
from nodeprep.observe import presented
from nodeprep.peers.message import Standing
from nodeprep.plan import reboot, releases, wanted
from nodeprep.registry.claimed import Claimed, Speaker
from nodeprep.registry.keys import claims_of
from nodeprep.renewal import LIVE
from nodeprep.report import READY_FILE, Problem
from nodeprep.run import Run
from nodeprep.situation import situation_of
from nodeprep.stamp import fingerprint
from nodeprep.steps import Fresh, Outcome, Plan, Result
from nodeprep.wire import Wire

if TYPE_CHECKING:  # loaded only where a registry is configured
    from nodeprep.registrar import Registrar

NETWORK_TIMEOUT_S = 20.0
ROUNDS_MAX = 4
"""Renewals in one boot, at most, however often the daemon starts."""
RETRY_S, RETRIES_MAX = 30.0, 3
"""What failed is tried again after that time, and so often in a daemon's life: it may have been a fault of a moment."""
ROUNDS_FILE = "/run/nodeprep/renewals"


@dataclass(slots=True)
class Settler:
    """What one boot knows while it settles; it outlives the single tries, of which faults may make several."""

    wire: Wire
    tell: Callable[[str], None]
    foreman: Foreman | None = None
    holding: tuple[str, ...] = ()
    """What still held the old machine ID after the one reboot."""
    holders: tuple[Sighting, ...] = ()
    """Who without nodeprep answers for what is contested."""
    former_id: str | None = None
    """The machine ID that the running system started with, if it was renewed since."""
    registrar: Registrar | None = None
    claimed: Claimed = field(default_factory=Claimed)
    """What the registry said last."""
    is_numberless: bool = False
    """No number was free for the hostname."""
    probed_s: float = 0.0
    retries: int = 0

    async def settle(self, this: Run, standing: Standing, *, renew: bool) -> Contest | str:
        """Return how the last probing went, or why the machine must boot again before anything else.

        A bounded number of renewals; none at all where renew is false. Raises NodeprepError.
        """
        await asyncio.to_thread(this.look)
        self.claimed, self.is_numberless = Claimed(), False
        if self.registrar:
            self.registrar.troubles = ()
        tried = False
        while True:
            done = renew and rounds(this.machine) < ROUNDS_MAX and await self._renew(this)
            if done:
                this.machine.write_own(ROUNDS_FILE, str(rounds(this.machine) + 1).encode(), 0o644)
            # Side by side: the one asks this machine, the other its links.
            looking = asyncio.ensure_future(self._must_reboot(this) if renew else asyncio.sleep(0, None))
            try:
                contest = await self._probe(this, standing)
                if reason := await looking:
                    return reason
            finally:
                looking.cancel()
            if not this.contested:
                free = releases(this.artefacts, this.findings, frozenset(this.machine.held_units()))
                await asyncio.to_thread(this.carry_out, free)
                return contest
            if not renew or (tried and not done):
                return replace(contest, clear=False)
            if Claim.MACHINE_ID in this.contested and not this.decision.joined:
                this.call_it_a_twin("a live peer presents this machine's ID", on_segment=contest.on_segment)
            tried = True

    async def listen_only(self, this: Run) -> Problem:
        """Return what to say where there is no fleet key: nobody can be asked, so nothing is renewed or ready."""
        # What this machine defends already, under a key that it had, it goes on to defend.
        await asyncio.to_thread(this.look)
        self.wire.listen(this.machine.links())
        return Problem("no-fleet-key", "", f"{fleetkey.PATH} is not there or empty")

    async def may_be_over(self, this: Run) -> bool:
        """Whether it may have passed: a stranger with an address of ours, a failed renewal, a pool with none free."""
        if self.holders:
            held = frozenset(holder.value for holder in self.holders)
            return not await foreign_holders(this.machine.links(), held, established=True)
        if this.machine.exists(READY_FILE):
            return False  # nothing is renewed any more, and judged again it would claim what others had before
        failed = [o for o in this.outcomes.values() if o.result is not Result.DONE and o.subject != "openings"]
        is_poor = this.config.address.on_conflict == "pool" and {Claim.IPV4, Claim.IPV6} & this.contested.keys()
        if not (failed or is_poor) or self.retries >= RETRIES_MAX or self.wire.now < self.probed_s + RETRY_S:
            return False
        self.retries += 1
        return True

    async def _probe(self, this: Run, standing: Standing) -> Contest:
        """Probe what this machine presents; what is contested is in `this` afterwards."""
        self.wire.listen(this.machine.links())
        self.wire.route(this.config.peers.endpoints, this.config.peers.port)
        self.tell("probing the peers")
        self.probed_s = self.wire.now
        claims = presented(this.artefacts, this.machine, this.observation)
        established = standing is Standing.READY
        asking = asyncio.ensure_future(foreign_holders(this.machine.links(), established=established))
        try:
            contest = await self.wire.probe(claims, standing)
            this.contested = {**contest.lost, **contest.disputed}
            # Beside a peer that objects or yields, it would be the peer that answers.
            self.holders = () if this.contested or contest.kept else await asking
        finally:
            asking.cancel()
        contest.deaf = "" if established else deaf(this, self.wire.links)
        if self.holders:
            this.contested = {Claim.IPV4: frozenset(holder.value for holder in self.holders)}
        if this.contested:
            self.tell(f"contested: {', '.join(claim.value for claim in this.contested)}")
        await asyncio.to_thread(this.look)
        if contest.clear and not this.contested and self.registrar and not self.registrar.troubles:
            await self._claim(this, contest, self.registrar, ready=standing is Standing.READY)
        return contest

    async def _claim(self, this: Run, contest: Contest, registrar: Registrar, *, ready: bool) -> None:
        """Claim in the registry what this machine presents, if nothing else keeps it from being ready.

        What is lost there is contested in `this` afterwards; a machine that was ready before only says so.
        """
        problems, _ = tell.weigh(this, contest, tell.NO_OPENINGS, ())
        if self.is_numberless or (problems and not ready):
            return
        if registrar.is_released:
            registrar.troubles = registrar.given_up()
            return
        self.tell("claiming in the registry")
        claims = claims_of(this.observation)
        try:
            self.claimed = await registrar.claim(speaker_of(this), claims)
        except RegistryError as error:
            registrar.troubles = ((error.code, str(error)),)
            return
        if ready or self.claimed.doubted:
            registrar.troubles = self.claimed.troubles(registrar.where)
        elif self.claimed.lost:
            this.contested = dict(self.claimed.lost)
            self.tell(f"claimed by others: {', '.join(claim.value for claim in this.contested)}")
            await asyncio.to_thread(this.look)

    async def _renew(self, this: Run) -> bool:
        """Carry out what is to be renewed: first what lives in files, then what the managers own. Whether any was."""
        if this.decision.renews:
            await asyncio.to_thread(this.begin)
        await asyncio.to_thread(this.look)
        if not judge.wanting(this.findings):
            return False
        done = False
        seeking: asyncio.Task[Fresh] | None = None
        # A numbered name comes last, when this machine can be reached under an address of its own.
        is_numbered = naming.is_numbered(this.machine, this.config)
        turns = ((Stage.EARLY, None), (Stage.MAIN, False), (Stage.MAIN, True))
        try:
            for stage, named in turns if is_numbered else ((stage, None) for stage in Stage):
                fresh = await asyncio.to_thread(run.draw, this.machine)
                number = await self._number(this) if named else ""
                if number is None:
                    continue
                situation = await asyncio.to_thread(situation_of, this, this.machine_id(), number)
                # An address is sought while files are renewed, but not under the old ID, where that is written down.
                if seeking is None and (stage is Stage.MAIN or not self.registrar):
                    spare = partial(self.registrar.spare, speaker_of(this)) if self.registrar else None
                    seeking = asyncio.create_task(secure_address(this, fresh, situation, self.wire, self.tell, spare))
                if seeking and stage is Stage.MAIN and not named:
                    fresh = await seeking
                if steps := this.propose(fresh, situation, stage, named=named):
                    await self._take(this, steps)
                    done = True
        finally:
            if seeking:
                seeking.cancel()
        await asyncio.to_thread(this.machine.remove_staging)
        return done

    async def _take(self, this: Run, steps: Plan) -> None:
        """Take the steps of one stage, and look at what the managers have made of them."""
        assert self.foreman is not None
        subjects = [subject for step in steps.steps for subject in step.subjects]
        if "machine-id" in subjects and self.former_id is None:
            self.former_id = this.machine_id()
            this.machine.write_own(LIVE, b"", 0o600)
        self.tell(f"renewing {', '.join(dict.fromkeys(subjects))}")
        await asyncio.to_thread(this.carry_out, steps)
        await self.foreman.settled(NETWORK_TIMEOUT_S)
        if self.registrar:
            self.registrar.hang_up()
        this.machine = await self.foreman.view(this.machine.run)
        await asyncio.to_thread(this.look)

    async def _number(self, this: Run) -> str | None:
        """Return the digits of the number for a name that is to be given, "" where none is, None where none is free."""
        named = next(artefact for artefact in this.artefacts if artefact.name == "hostname")
        found = {finding.subject: finding for finding in this.findings}
        if not wanted(named, found["hostname"], this.decision):
            return ""
        if found["machine-id"].verdict is not Verdict.OWN:
            return None  # which is told, and without an ID of its own no machine claims anything
        try:
            number = await secure_number(
                this, found["hostname"], speaker_of(this), self.wire, self.registrar, self.tell
            )
        except RegistryError as error:
            assert self.registrar is not None
            self.registrar.troubles = ((error.code, str(error)),)
            return None
        self.is_numberless = number is None
        return number

    async def _must_reboot(self, this: Run) -> str | None:
        """Return why the running system cannot be shown to have let go of the old machine ID, once in a renewal."""
        renewal = this.renewal
        if renewal is None or not this.machine.exists(LIVE) or this.machine_id() == self.former_id:
            return None
        if self.former_id is None:
            # By a daemon that is gone: nobody knows any more what to look for.
            holding = ["an earlier run of the daemon was cut off"]
        else:
            self.tell("looking for what still holds the old machine ID")
            assert self.foreman is not None
            given = await self.foreman.machine_ids()
            holding = [f"{name} gives it" for name, value in given.items() if value == self.former_id]
            try:
                holding += await self.foreman.holders(self.former_id)
            except HostError as error:
                holding.append(f"the search could not be made: {error}")
        if not holding or renewal.reboots:
            self.holding = tuple(holding)
            return None
        this.keep_renewal(replace(renewal, reboots=renewal.reboots + 1))
        return f"the old machine ID is still held: {', '.join(holding)}"

    async def reboot(self, this: Run, reason: str) -> None:
        """Boot again. Raises HostError where systemd refuses."""
        await asyncio.to_thread(this.carry_out, reboot(reason))


def deaf(this: Run, listened_on: Collection[str]) -> str:
    """Return why nobody could be asked, or "" if somebody could, or there is no link that could lead to anybody."""
    named = this.config.peers.links
    links = [link for link in this.machine.links() if not link.port]
    if not (links or named) or any(link.name in listened_on for link in links):
        return ""
    return f"{', '.join(link.name for link in links) or ', '.join(named)}: no link carries, and nobody could be asked"


def speaker_of(this: Run) -> Speaker:
    """Return as whom a machine speaks to the registry."""
    inherited = this.renewal.inherited.get("machine-id", frozenset()) if this.renewal else frozenset()
    return Speaker(
        fingerprint("machine-id", this.machine_id()), inherited, this.decision.renews, insists=this.word == "keep"
    )


def rounds(machine: LocalMachine) -> int:
    """Return how often this boot has renewed anything."""
    return int(machine.read_text(ROUNDS_FILE) or 0)


def take_over(this: Run, files: LocalMachine) -> None:
    """Take over what the early run of this boot changed, so that one report tells all."""
    text = files.read_text("/run/nodeprep/early.json")
    if text and not this.changes:
        early = json.loads(text)
        this.changes.update({row[0]: run.Change(*row) for row in early["changes"]})
        this.outcomes.update({row[0]: Outcome(row[0], Result(row[1]), row[2]) for row in early["outcomes"]})
