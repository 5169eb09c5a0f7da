"""The daemon: one event loop from network.target until shutdown.

It waits for the network, speaks the sentence with the peers' answers in between, tells systemd what came of it, and
then defends the identity. It never stops for a fault of the machine or of the configuration: the node is then held, the
reason is in the status, and the boot goes on.
"""

from __future__ import annotations

import asyncio
import json
import signal

from nodeprep import config, report, run, tell
from nodeprep.errors import ConfigError, HostError, NodeprepError
from nodeprep.host import attic, journal, notify
from nodeprep.host.bus import Bus
from nodeprep.host.live import Live
from nodeprep.host.local import LocalMachine
from nodeprep.messages import BY_CODE
from nodeprep.model import Claim, Opening, Values
from nodeprep.observe import presented
from nodeprep.openings import openings_of
from nodeprep.peers.message import Standing
from nodeprep.peers.rules import Clear, Dispute, Kept, Lost, Resolved
from nodeprep.report import Problem
from nodeprep.run import Run
from nodeprep.settle import NETWORK_TIMEOUT_S, Settler
from nodeprep.steps import ApplyOpenings, Outcome, Plan, Result, Step
from nodeprep.wire import Event, Wire, nonce

LOOK_AGAIN_S = 10.0
RETRY_S = 5.0


class Daemon:
    """One node, from its boot to its shutdown."""

    def __init__(self) -> None:
        self._log = journal.logger()
        self._again = asyncio.Event()
        self._stop = asyncio.Event()
        self._told = False
        self._defends = False
        self._state = "starting"
        self._problems: list[Problem] = []
        self._warnings: list[Problem] = []
        self._wire: Wire | None = None
        self._settler: Settler | None = None
        self._wanted: tuple[Opening, ...] = ()
        self._openings: report.Document = report.openings((), "off", "-", ())
        self._run: Run | None = None
        self._written = b""
        self._said: set[run.Change] = set()
        self._name = attic.name_of_this_boot()
        self._files = LocalMachine(self._name)
        # A daemon before this one was waited for by the boot, which has gone on since.
        self._is_late = self._files.exists(report.STATUS_FILE)
        self._boot_id = (self._files.read_text("/proc/sys/kernel/random/boot_id") or "").strip()

    async def main(self) -> int:
        """Run until SIGTERM. SIGHUP reads the configuration and judges again."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop.set)
        loop.add_signal_handler(signal.SIGINT, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._again.set)
        heart = loop.create_task(self._beat())
        work = loop.create_task(self._work())
        stopping = loop.create_task(self._stop.wait())
        await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
        notify.stopping()
        heart.cancel()
        if self._wire:
            self._wire.close()
        if work.done():
            work.result()
        work.cancel()
        return 0

    async def _beat(self) -> None:
        limit_s = notify.watchdog_s()
        while limit_s:
            notify.alive()
            await asyncio.sleep(limit_s / 2)

    async def _work(self) -> None:
        while not self._stop.is_set():
            try:
                async with Bus() as bus:
                    await self._prepare(bus)
                    await self._watch()
            except NodeprepError as error:
                await self._stumble(error)
                await self._pause(RETRY_S)
            self._again.clear()

    async def _stumble(self, error: NodeprepError) -> None:
        """Say what went wrong. A node that is ready stays so: the fault is in what watches it."""
        problem = Problem("config" if isinstance(error, ConfigError) else "machine", "", str(error))
        if problem not in self._problems:
            await self._conclude([problem], [])

    async def _pause(self, seconds: float) -> None:
        """Wait, or until somebody wants us to judge again."""
        try:
            await asyncio.wait_for(self._again.wait(), seconds)
        except asyncio.TimeoutError:
            pass

    # The sentence, with the peers' answers in between

    async def _prepare(self, bus: Bus) -> None:
        """Observe, judge, renew and probe until nothing is left to do, then say what came of it."""
        self._tell("waiting for the network")
        settings = config.load(self._files)
        openings = openings_of(self._files, settings)
        key = config.fleet_key(self._files)
        self._live = live = Live(bus, settings.peers.links)
        await live.settled(NETWORK_TIMEOUT_S)
        machine = await live.view(self._name)
        this = self._run = Run(machine, settings, run.signals_of(machine))
        was_ready = self._files.exists(report.READY_FILE)
        await asyncio.to_thread(this.decide, was_ready=was_ready)
        self._read_early_report(this)
        if self._settler is None:
            self._wire = Wire(nonce(self._files), key, self._on_event)
            self._settler = Settler(self._wire, self._tell)
        self._settler.live = live
        standing = Standing.READY if was_ready else Standing.JOINED if this.decision.joined else Standing.PROBING
        self._wanted = openings
        self._tell("making the openings")
        await self._open(this)
        contest = await self._settler.settle(this, standing, renew=not was_ready and this.word != "keep")
        if isinstance(contest, str):
            self._say("reboot", contest)
            await self._settler.reboot(this, contest)
            await self._stop.wait()
            return
        self._tell("weighing what was found")
        problems, warnings = tell.weigh(this, contest, self._openings)
        if holding := self._settler.holding:
            problems.append(Problem("old-identity-held", "machine-id", ", ".join(holding)))
        for name in this.adopted():
            self._say("adopted", f"{name} was changed by an operator", subject=name)
        wire = self._settler.wire
        if not problems and not wire.census.clear:
            # Somebody has come since the probing ended: not ready, and judged again at once.
            problems.append(Problem("conflict", "", "a live peer contests this node's identity"))
            self._again.set()
        self._defends = wire.census.clear and (was_ready or not problems)
        # Before READY is said: from here on a twin yields, and cannot slip in between.
        if self._defends:
            wire.ready()
        else:
            wire.hold()
        await self._conclude(problems, warnings)

    async def _open(self, this: Run) -> None:
        """Make the openings, and see what else could close them."""
        mode = this.config.firewall.mode
        closed: list[str] = []
        if mode != "off":
            step = Step(("openings",), (ApplyOpenings(self._wanted, mode),), "the node's roles")
            await asyncio.to_thread(this.carry_out, Plan((step,)))
            try:
                chains = await asyncio.to_thread(self._live.firewall.closed_by, self._wanted)
                closed = [f"{chain.title} ({chain.reason})" for chain in chains]
            except HostError as error:
                closed = [str(error)]
        self._openings = report.openings(self._wanted, mode, "nftables" if mode != "off" else "-", closed)

    # What came of it

    async def _conclude(self, problems: list[Problem], warnings: list[Problem]) -> None:
        """Write what is decided, then say it."""
        was_ready = self._files.exists(report.READY_FILE)
        self._problems, self._warnings = problems, warnings
        if not problems or was_ready:
            self._state = "degraded" if problems else "ready"
            if self._run and not problems:
                await asyncio.to_thread(self._run.finish)
            self._files.write_own(report.READY_FILE, b"", 0o644)
        else:
            self._state = "held"
        self._write()
        self._announce_changes()
        self._say("ready" if self._state == "ready" else problems[0].code, self._document()["summary"])
        notify.judged(self._document()["summary"])
        if self._is_late and not was_ready and self._state != "held":
            await self._live.start_ready()
        self._told = self._is_late = True

    async def _watch(self) -> None:
        """Defend the identity; return when it is to be judged again."""
        this = self._run
        if this is None or self._wire is None:
            return
        while not self._again.is_set():
            await self._pause(LOOK_AGAIN_S)
            if self._again.is_set():
                return
            machine = await self._live.view(self._name)
            before = presented(this.artefacts, this.machine, this.observation)
            this.machine = machine
            await asyncio.to_thread(this.look)
            now = presented(this.artefacts, machine, this.observation)
            await self._open(this)  # somebody may have flushed the ruleset
            self._wire.listen(link.name for link in machine.links() if link.carrier)
            if now != before or (self._state != "held" and this.adopted()):
                if not self._defends:
                    return  # what is presented now was never probed
                await self._adopt_changes(this, now)
            self._write()

    async def _adopt_changes(self, this: Run, claims: dict[Claim, Values]) -> None:
        """Follow an operator who changed the identity of a ready machine."""
        assert self._wire is not None
        for name in this.adopted():
            self._say("adopted", f"{name} was changed by an operator", subject=name)
        await asyncio.to_thread(this.finish)
        self._wire.amend(claims)

    def _on_event(self, event: Event) -> None:
        """Take what the census says outside of probing."""
        assert self._wire is not None
        match event:
            case Clear():
                self._again.set()  # what held us back has gone
            case Dispute(claims) if self._state != "held":
                for claim, values in self._wire.values(claims).items():
                    detail = f"{claim.value}: a live peer that is ready presents it too ({len(values)})"
                    self._problems.append(Problem("dispute", claim.value, detail))
                self._state = "degraded"
                self._say("dispute", self._problems[-1].detail if self._problems else "")
                self._write()
            case Resolved() if self._state == "degraded":
                self._again.set()
            case Dispute() | Resolved() | Lost() | Kept():
                self._write()

    # Telling

    def _tell(self, what: str) -> None:
        """Say what is going on while nothing is decided yet."""
        notify.progress(what)
        self._log.debug(what)
        if not self._told:
            self._write()

    def _say(self, code: str, detail: str, **fields: str) -> None:
        """Write a journal entry on a code."""
        message = BY_CODE[code]
        level = "warning" if code in ("conflict", "dispute", "config", "machine", "joined-clone") else "notice"
        origin = self._run.decision.origin.value if self._run else ""
        roles = ",".join(self._run.config.node.roles) if self._run else ""
        self._log.info(
            f"{message.title}: {detail}",
            message_id=message.message_id,
            level=level,
            code=code,
            verdict=self._state,
            origin=origin,
            role=roles,
            **fields,
        )

    def _announce_changes(self) -> None:
        for change in set(self._run.changes.values()) - self._said if self._run else ():
            self._said.add(change)
            self._say("renewed", f"{change.artefact}: {change.old} -> {change.new}",
                      subject=change.artefact, old=change.old, new=change.new)  # fmt: skip

    def _document(self) -> report.Document:
        return tell.document(
            self._run, self._wire, self._state, self._boot_id, self._openings, self._problems, self._warnings
        )

    def _write(self) -> None:
        text = json.dumps(self._document(), indent=1).encode() + b"\n"
        if text != self._written:
            self._files.write_own(report.STATUS_FILE, text, 0o644)
            self._written = text

    def _read_early_report(self, this: Run) -> None:
        """Take over what the early run of this boot changed, so that one report tells all."""
        text = self._files.read_text("/run/nodeprep/early.json")
        if text and not this.changes:
            early = json.loads(text)
            this.changes.update({row[0]: run.Change(*row) for row in early["changes"]})
            this.outcomes.update({row[0]: Outcome(row[0], Result(row[1]), row[2]) for row in early["outcomes"]})


def main() -> int:
    """Run the daemon."""
    return asyncio.run(Daemon().main())
