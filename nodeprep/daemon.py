"""The daemon: one event loop from network.target until shutdown.

It waits for the network, speaks the sentence with the peers' answers in between, tells systemd what came of it, and
then defends the identity. It never stops for a fault of the machine or of the configuration: the node is then held, the
reason is in the status, and the boot goes on.
"""

from __future__ import annotations

import asyncio
import signal

from nodeprep import config, fleetkey, report, run, tell
from nodeprep.bulletin import Bulletin
from nodeprep.contest import Contest
from nodeprep.desk import Desk
from nodeprep.errors import ConfigError, NodeprepError
from nodeprep.examiner import Examiner
from nodeprep.guard import Guard
from nodeprep.herald import Herald
from nodeprep.host import attic, notify
from nodeprep.host.foreman import Foreman
from nodeprep.host.local import LocalMachine
from nodeprep.model import Claim
from nodeprep.nonce import nonce
from nodeprep.observe import presented
from nodeprep.opener import make_openings
from nodeprep.openings import Needed, needed
from nodeprep.patience import Bell
from nodeprep.peers.keyring import Keyring
from nodeprep.peers.message import Standing, role_of
from nodeprep.peers.rules import Clear, Dispute, Kept, Lost, Resolved
from nodeprep.report import Problem
from nodeprep.run import Run
from nodeprep.settle import NETWORK_TIMEOUT_S, Settler, take_over
from nodeprep.vigil import Vigil
from nodeprep.watch import Watch
from nodeprep.wire import Event, Wire

RETRY_S = 5.0


class Daemon:
    """One node, from its boot to its shutdown."""

    def __init__(self, foreman: Foreman) -> None:
        self._foreman = foreman
        self._herald = Herald()
        self._again, self._stop, self._news = asyncio.Event(), asyncio.Event(), Bell()
        self._told = False
        self._guard: Guard | None = None
        self._state = "starting"
        self._judged: tuple[list[Problem], list[Problem]] = ([], [])
        self._disputes: dict[Claim, Problem] = {}
        self._strangers: tuple[Problem, ...] = ()
        self._keys: tuple[bytes, ...] = ()
        self._wire: Wire | None = None
        self._settler: Settler | None = None
        self._needed: Needed | None = None
        self._openings: report.Document = report.openings((), "off", "-", ())
        self._run: Run | None = None
        self._name = attic.name_of_this_boot()
        self._files = LocalMachine(self._name)
        self._bulletin, self._desk = Bulletin(self._files, self._drawn), Desk(self._files, self._news.ring)
        # A daemon before this one was waited for by the boot, which has gone on since.
        self._is_late = self._files.exists(report.STATUS_FILE)
        self._boot_id = (self._files.read_text("/proc/sys/kernel/random/boot_id") or "").strip()

    async def main(self) -> int:
        """Run until SIGTERM. SIGHUP reads the configuration and judges again."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop.set)
        loop.add_signal_handler(signal.SIGINT, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._judge_again)
        heart = loop.create_task(notify.feed_watchdog())
        work = loop.create_task(self._work())
        stopping = loop.create_task(self._stop.wait())
        await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
        notify.stopping()
        heart.cancel()
        self._foreman.leave()
        await self._desk.leave()
        if self._wire:
            self._wire.close()
        if work.done():
            work.result()
        work.cancel()
        return 0

    async def _work(self) -> None:
        while not self._stop.is_set():
            try:
                await self._prepare()
                await self._watch()
            except NodeprepError as error:
                await self._stumble(error)
                await self._news.wait(RETRY_S)
            self._again.clear()

    async def _stumble(self, error: NodeprepError) -> None:
        """Say what went wrong. A node that is ready stays so: the fault is in what watches it."""
        problem = Problem("config" if isinstance(error, ConfigError) else "machine", "", str(error))
        if problem not in self._problems():
            await self._conclude([problem], [])

    def _judge_again(self) -> None:
        self._again.set()
        self._news.ring()

    # The sentence, with the peers' answers in between

    async def _prepare(self) -> None:
        """Observe, judge, renew and probe until nothing is left to do, then say what came of it."""
        self._tell("waiting for the network")
        settings = config.load(self._files)
        self._needed = needed(self._files, settings)
        self._keys = fleetkey.fleet_keys(self._files)
        foreman = self._foreman
        await foreman.look_at(settings.peers.links)
        await foreman.settled(NETWORK_TIMEOUT_S)
        machine = await foreman.view(self._name)
        this = self._run = Run(machine, settings, run.signals_of(machine))
        was_ready = self._files.exists(report.READY_FILE)
        await asyncio.to_thread(this.decide, was_ready=was_ready)
        take_over(this, self._files)
        if self._settler is None:
            self._wire = Wire(nonce(self._files), Keyring(self._keys), self._on_event, role_of(settings.node.roles))
            self._settler = Settler(self._wire, self._tell)
        settler, wire = self._settler, self._settler.wire
        settler.foreman = foreman
        if not self._keys:
            await self._conclude([await settler.listen_only(this)], [])
            return
        wire.take_keys(Keyring(self._keys))
        settler.registrar = self._desk.follow(settings, self._keys)
        standing = Standing.READY if was_ready else Standing.JOINED if this.decision.joined else Standing.PROBING
        self._tell("making the openings")
        self._openings = await make_openings(this, foreman, self._needed.openings(self._files))
        contest = await settler.settle(this, standing, renew=not was_ready and this.word != "keep")
        if isinstance(contest, str):
            self._say("reboot", contest)
            await settler.reboot(this, contest)
            await self._stop.wait()
            return
        self._tell("weighing what was found")
        problems, warnings = tell.weigh(this, contest, self._openings, settler.holders, settler.holding)
        problems = self._desk.judged(problems, settler, settings)
        self._herald.say_adopted(this, self._state)
        if not problems and not wire.census.clear:
            # Somebody has come since the probing ended: not ready, and judged again at once.
            problems.append(Problem("conflict", "", "a live peer contests this node's identity"))
            self._judge_again()
        self._guard, self._disputes, self._strangers = None, {}, ()
        # Before READY is said: from here on a twin yields, and cannot slip in between.
        if wire.census.clear and (was_ready or not (problems or self._desk.problems)):
            wire.ready()
            self._guard = Guard(wire, presented(this.artefacts, this.machine, this.observation))
        else:
            wire.hold()
        await self._conclude(problems, warnings)

    # What came of it

    async def _conclude(self, judged: list[Problem], warnings: list[Problem]) -> None:
        """Write what is decided, then say it."""
        was_ready = self._files.exists(report.READY_FILE)
        self._judged = judged, warnings
        problems = self._problems()
        if not problems or was_ready:
            self._state = "degraded" if problems else "ready"
            if self._run and not judged:
                await asyncio.to_thread(self._run.finish)
            self._files.write_own(report.READY_FILE, b"", 0o644)
        else:
            self._state = "held"
        self._bulletin.write()
        self._herald.say_changes(self._run, self._state)
        self._say("ready" if self._state == "ready" else problems[0].code, self._document()["summary"])
        notify.judged(self._document()["summary"])
        if self._is_late and not was_ready and self._state != "held":
            await self._foreman.start_ready()
        self._told = self._is_late = True

    def _problems(self) -> list[Problem]:
        disputed = {problem.subject for problem in self._disputes.values()}
        judged = [p for p in self._judged[0] if p.code != "conflict" or p.subject not in disputed]
        return [*judged, *self._disputes.values(), *self._strangers, *self._desk.problems]

    async def _watch(self) -> None:
        """Defend the identity; return when it is to be judged again."""
        this, wire = self._run, self._wire
        if this is None or wire is None:
            return
        examiner = Examiner(self._keys, role_of(this.config.node.roles), wire)
        watch = Watch(wire, self._news.ring, examiner)
        vigil = Vigil(self._news.ring, self._foreman, this.config.peers.links)
        wire.heard = self._bulletin.write_soon
        try:
            watch.follow(this.machine.links(), defends=self._guard is not None)
            if self._guard:
                watch.announce(this.machine.links())
            while not self._again.is_set():
                vigil.follow(self._files.asked | this.machine.asked, this.machine.links())
                await vigil.wait(self._news, lambda: self._state == "ready" and watch.is_calm, self._bulletin.write)
                if not self._again.is_set():
                    await self._look(this, wire, watch)
        finally:
            watch.close()
            vigil.close()

    async def _look(self, this: Run, wire: Wire, watch: Watch) -> None:
        """Look again, and follow what changed."""
        may_be_over = self._settler is not None and await self._settler.may_be_over(this)
        if may_be_over or fleetkey.fleet_keys(self._files) != self._keys:
            self._judge_again()
            return
        before = presented(this.artefacts, this.machine, this.observation)
        this.machine = await self._foreman.view(self._name)
        await asyncio.to_thread(this.look)
        claims, links = presented(this.artefacts, this.machine, this.observation), this.machine.links()
        # Somebody may have flushed the ruleset, switched a firewall on, or installed the network of the pods.
        assert self._needed
        failed = tell.failure(this, "openings")
        self._openings = await make_openings(this, self._foreman, self._needed.openings(self._files))
        appeared = wire.listen(links)
        watch.follow(links, defends=self._guard is not None)
        if self._guard is None or not self._keys:
            if self._keys and (appeared or claims != before or (failed and not tell.failure(this, "openings"))):
                self._judge_again()  # what is presented, or there, was never probed; or what held us back has gone
            self._bulletin.write()
            return
        news = await self._guard.follow(claims, links, appeared)
        if news or (not self._guard.contested and this.adopted()):
            watch.announce(links if not self._guard.contested else ())
            await self._follow(this, self._guard)
        elif (judged := tell.openings_anew(this, self._openings, *self._judged)) != self._judged:
            await self._conclude(*judged)
        await watch.ask()
        self._desk.defend(this, self._guard.contested)
        strangers = watch.problems([value for values in self._guard.contested.values() for value in values])
        if self._desk.is_new() or strangers != self._strangers:
            self._strangers = strangers
            await self._conclude(*self._judged)
        self._bulletin.write()

    async def _follow(self, this: Run, guard: Guard) -> None:
        """Follow an operator who changed the identity of a ready machine, or say who else has what he gave it."""
        this.contested = dict(guard.contested)
        await asyncio.to_thread(this.look)
        if not guard.contested:
            self._herald.say_adopted(this, self._state)
            await asyncio.to_thread(this.finish)
        judged = tell.weigh(this, Contest(clear=True), self._openings, guard.holders, is_ready=True)
        if judged != self._judged:
            await self._conclude(*judged)

    def _on_event(self, event: Event) -> None:
        """Take what the census says outside of probing."""
        assert self._wire is not None
        match event:
            case Clear():
                self._judge_again()  # what held us back has gone
            case Dispute(claims) if self._state != "held":
                for claim, problem in tell.disputed(self._wire.values(claims)).items():
                    self._disputes[claim] = problem
                    self._say("dispute", problem.detail)
                if self._state == "ready":
                    self._news.ring()  # who is degraded does not rest
                self._state = "degraded"
                self._bulletin.write()
            case Resolved() if self._disputes:
                self._judge_again()
            case Dispute() | Resolved() | Lost() | Kept():
                self._bulletin.write()

    # Telling

    def _tell(self, what: str) -> None:
        """Say what is going on while nothing is decided yet."""
        notify.progress(what)
        self._herald.mention(what)
        if not self._told:
            self._bulletin.write()

    def _say(self, code: str, detail: str, **fields: str) -> None:
        self._herald.say(self._run, self._state, code, detail, **fields)

    def _drawn(self) -> report.Document:
        """Return the status document, once the journal has what could be new in it without a judgement."""
        self._herald.say_foreign(self._run, self._state, tell.foreign(self._wire))
        return self._document()

    def _document(self) -> report.Document:
        told = self._openings, self._problems(), self._judged[1], self._desk.registrar
        return tell.document(self._run, self._wire, self._state, self._boot_id, *told)


def main(foreman: Foreman) -> int:
    """Run the daemon."""
    return asyncio.run(Daemon(foreman).main())
