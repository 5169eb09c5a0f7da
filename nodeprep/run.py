"""The sentence: observe → judge → plan → apply → verify. Both runs of a boot speak it through a Run.

A Run holds what is known so far. Its methods are synchronous and may be called in a worker thread, one at a time; what
lies between them (waiting for the network, probing the peers) is the daemon's.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from nodeprep import apply, judge, legacy, plan, renewal, stamp
from nodeprep.artefacts import catalogue
from nodeprep.config import Config
from nodeprep.host import platform, programs
from nodeprep.host.local import LocalMachine
from nodeprep.model import (
    CONFINED,
    Artefact,
    Claim,
    Decision,
    Finding,
    Kind,
    Observation,
    Origin,
    Reading,
    Stage,
    Values,
    Verdict,
)
from nodeprep.observe import joined, observe
from nodeprep.renewal import Renewal
from nodeprep.stamp import Stamp, fingerprint, fingerprints
from nodeprep.steps import Fresh, Outcome, Plan, Result, Situation
from nodeprep.verify import verify

BAKED_OFFLINE = "/var/lib/nodeprep/baked-offline"
"""The mark by which a boot is a first one. It says how it came: nothing for the package, or "sealed" and when."""
SEALED_NOW = "/run/nodeprep/sealed"
"""There until the next boot, once this machine was sealed: nothing judges it any more."""
DECIDED = "/var/lib/nodeprep/decided"
"""An operator's word on what this machine is, "renew" or "keep", until it has been followed (`nodeprep decide`)."""
ALONE = "alone"
"""Behind the word: it is for the next boot, and was given while the machine was no member of a cluster."""
TOLD_BY_HARDWARE = (Origin.FIRST_BOOT, Origin.CLONE)


@dataclass(frozen=True, slots=True)
class Change:
    """What a renewal changed: short fingerprints where the values are confidential, else the values."""

    artefact: str
    old: str
    new: str


@dataclass(slots=True)
class Run:
    """One run over one machine: what was decided, found and done."""

    machine: LocalMachine
    config: Config
    signals: Mapping[str, Values]
    artefacts: tuple[Artefact, ...] = field(default_factory=catalogue)
    decision: Decision = Decision(Origin.SAME, "")
    stamp: Stamp | None = None
    doubt: str = ""
    """Why the newest stamp cannot be read, where the decision rests on it."""
    renewal: Renewal | None = None
    word: str = ""
    """What an operator decided and this run follows."""
    mark: str | None = None
    """What the mark of a first boot said when this run began."""
    is_finished: bool = False
    """The stamp says what is this machine's own, and what is still a template's."""
    contested: dict[Claim, Values] = field(default_factory=dict)
    is_reached: bool = False
    """A twin beyond a router has answered to our addresses."""
    original: Observation = field(default_factory=dict)
    observation: Observation = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    changes: dict[str, Change] = field(default_factory=dict)

    def decide(self, *, was_ready: bool = False) -> None:
        """Decide how this boot relates to the stamp; a renewal that was cut off goes on. Raises HostError.

        was_ready: this boot was judged before, and nothing is renewed any more until the next one.
        """
        self.stamp, self.doubt = stamp.read(self.machine), stamp.fault(self.machine)
        self.renewal = renewal.read(self.machine)
        self.word, _, still_alone = (self.machine.read_text(DECIDED) or "").strip().partition(" ")
        self.mark = self.machine.read_text(BAKED_OFFLINE)
        is_joined = bool(joined(self.artefacts, self.machine))
        if self.word == "keep":
            self.renewal = None
        if was_ready:
            self.word = self.word if self.word == "keep" else ""
            self.decision = Decision(Origin.SAME, "judged before in this boot", is_joined)
            return
        if self.word == "keep":
            self.decision = Decision(Origin.MOVED, "an operator decided: this is the machine itself", is_joined)
        elif self.renewal is not None:
            self.decision = Decision(self.renewal.origin, self.renewal.reason, is_joined, resumed=True)
        elif self.word == "renew":
            self.decision = Decision(Origin.CLONE, "an operator decided: this is a copy", is_joined)
        else:
            self.decision = judge.decide(
                self.stamp,
                self.signals,
                baked_offline=self.mark is not None,
                sealed=(self.mark or "").startswith("seal"),
                on_hardware_change=self.config.identity.on_hardware_change,
                joined=is_joined,
            )
            self.decision = judge.doubted(self.decision, self.doubt)
        # Of twins on the wire one is the original, and nobody can tell which: there only an operator's word resets.
        by_policy = self.config.identity.joined_clone == "reset" and self.decision.origin in TOLD_BY_HARDWARE
        # A word given to a machine that was no member says nothing of what it has joined since.
        by_word = self.word == "renew" and not (still_alone and is_joined)
        if by_word or by_policy:
            self.decision = replace(self.decision, joined=False, resets=True)

    def look(self) -> None:
        """Observe, judge, see which contested values are still presented, and what the steps so far have changed."""
        first_boot = self.mark is not None and self.decision.origin.renews
        self.observation, self.findings, self.contested = verify(
            self.artefacts, self.machine, self._inherited(), self.contested, first_boot=first_boot
        )
        self.original = self.original or self.observation
        for artefact in self.artefacts:
            outcome = self.outcomes.get(artefact.name)
            old, new = (show(artefact, seen.get(artefact.name)) for seen in (self.original, self.observation))
            if outcome and outcome.result is Result.DONE and (old != new or artefact.name in self.changes):
                first = self.changes[artefact.name].old if artefact.name in self.changes else old
                self.changes[artefact.name] = Change(artefact.name, first, new)

    def _inherited(self) -> Mapping[str, Values]:
        """Return the fingerprints that are a template's, as far as that matters in this boot."""
        if self.renewal:
            return self.renewal.inherited
        if self.decision.origin.renews and not self.is_finished:
            return self.legacy()
        kept = self.stamp.inherited if self.stamp and self.word != "keep" else {}
        return {**kept, **self.legacy()} if self.decision.origin is Origin.NEW_NIC else kept

    def begin(self) -> None:
        """Write down what the template holds, before the first change. Raises HostError where that cannot be kept."""
        inherited = self.legacy()
        if self.renewal is None or inherited != self.renewal.inherited:
            self.machine.require_room()
            reboots = self.renewal.reboots if self.renewal else 0
            self.keep_renewal(Renewal(self.decision.origin, self.decision.reason, inherited, reboots))

    def legacy(self) -> dict[str, Values]:
        """Return what the template holds, with what was written down of it before. Reads only."""
        observation = observe(self.artefacts, self.machine)
        found = legacy.legacy(
            self.artefacts, self.machine, observation, self.decision, self.stamp, self.contested
        ) | dict(self.renewal.inherited if self.renewal else {})
        if self.is_reached:
            found |= {a.name: fingerprints(a.name, self._lost(a)) for a in self.artefacts if a.claim in CONFINED}
        if self._is_to_be_named() and isinstance(name := observation.get("hostname"), frozenset):
            found["hostname"] = found.get("hostname", frozenset()) | fingerprints("hostname", name)
        return found

    def _lost(self, artefact: Artefact) -> Values:
        return self.contested.get(artefact.claim, frozenset()) if artefact.claim else frozenset()

    def _is_to_be_named(self) -> bool:
        """Whether a credential names this machine, which it then is, whoever else has named it since its copying."""
        return self.config.origin("node.hostname").startswith("credential") and "hostname" not in self.outcomes

    def keep_renewal(self, value: Renewal) -> None:
        """Write the renewal under way. Raises HostError."""
        self.machine.write_own(renewal.PATH, renewal.encode(value).encode(), 0o600)
        self.renewal = value

    def call_it_a_twin(self, detail: str, *, on_segment: bool = True) -> None:
        """Take it that everything we have is a live peer's as well, since our machine ID is.

        Where the twin is beyond a router, and not on our segment, MACs and addresses are ours: its answer came to them.
        """
        self.is_reached = self.is_reached or not on_segment
        if self.decision.origin is not Origin.TWIN:
            self.decision = replace(self.decision, origin=Origin.TWIN, reason=detail)
            self.renewal = replace(self.renewal, origin=Origin.TWIN, reason=detail) if self.renewal else None

    def propose(self, fresh: Fresh, situation: Situation, stage: Stage, *, named: bool | None = None) -> Plan:
        """Return the plan for what is due at one stage; named: for hostname and what follows it, or for all else."""
        artefacts = plan.due(self.artefacts, self.findings, stage, named=named)
        return plan.plan(artefacts, self.findings, self.decision, fresh, situation)

    def carry_out(self, steps: Plan) -> None:
        """Apply a plan and remember what became of it. Raises HostError where there is no room for it."""
        self.machine.prepare(steps, f"{self.decision.origin.value}: {self.decision.reason}")
        for outcome in sorted(apply.apply(steps, self.machine), key=lambda o: o.result is not Result.DONE):
            self.outcomes[outcome.subject] = outcome  # a failure is not covered by a later success of the same plan

    def finish(self) -> bool:
        """Write the stamp if anything in it changed, end the renewal, and return whether anything was written.

        Raises HostError.
        """
        volatile = frozenset(artefact.name for artefact in self.artefacts if artefact.volatile)
        digest = platform.digest(dict(self.signals))
        inherited = {f.subject: f.values for f in self.findings if f.verdict is Verdict.INHERITED}
        new = stamp.take(self.observation, volatile, self.signals, digest, inherited)
        if self.stamp:
            # What could not be read now is not forgotten: it decides again once it can be.
            hardware = {**self.stamp.hardware, **new.hardware}
            new = replace(new, hardware=hardware, hardware_digest=digest or self.stamp.hardware_digest)
        written = False
        if new != self.stamp:
            former = self.machine.read_bytes(stamp.PATH)
            if former is not None:
                self.machine.write_own(stamp.PREVIOUS, former, 0o600)
            self.machine.write_own(stamp.PATH, stamp.encode(new).encode(), 0o600)
            self.stamp = new
            written = True
        # A word or a mark that came since, or is for the next boot, is still to be followed.
        followed = (DECIDED,) if self.word else ()
        if self.mark is not None and self.machine.read_text(BAKED_OFFLINE) == self.mark:
            followed = (*followed, BAKED_OFFLINE)
        for path in (*followed, renewal.PATH):
            if self.machine.exists(path):
                self.machine.remove_own(path)
                written = True
        if self.renewal:
            self.machine.prune_attic(self.config.attic.keep, {a.name for a in self.artefacts if a.kind is Kind.C})
        self.renewal, self.word, self.mark = None, "", None
        self.is_finished = True
        return written

    def adopted(self) -> tuple[str, ...]:
        """Return the artefacts that differ from the stamp though nothing was renewed: an operator changed them."""
        if self.stamp is None or self.renewal is not None:
            return ()
        stable = [a.name for a in self.artefacts if not a.volatile and a.name not in self.changes]
        now = {name: reading for name in stable if isinstance(reading := self.observation.get(name), frozenset)}
        known = self.stamp.artefacts
        return tuple(name for name in now if fingerprints(name, now[name]) != known.get(name, frozenset()))

    def active_and_starting_units(self) -> tuple[frozenset[str], frozenset[str]]:
        """Return the units that artefacts name and that run now, and those that this boot is, or will be, starting."""
        return programs.active_and_starting_units(
            frozenset(unit for a in self.artefacts for unit in (*a.idle, *a.restart, *a.holds))
        )

    def machine_id(self) -> str:
        """Return the machine ID of now, or "" where there is none."""
        reading = self.observation.get("machine-id")
        return next(iter(reading), "") if isinstance(reading, frozenset) else ""


def show(artefact: Artefact, reading: Reading | None) -> str:
    """Return a reading as it may be shown to anybody."""
    if not isinstance(reading, frozenset) or not reading:
        return "-"
    if artefact.confidential:
        return fingerprint(artefact.name, "\n".join(sorted(reading)))[:8]
    return ", ".join(" ".join(value.split()) for value in sorted(reading))


def draw(machine: LocalMachine) -> Fresh:
    """Draw everything random that one plan may use. Raises HostError where there is no room for a staging folder."""
    octets = [0x02 | (secrets.randbits(8) & 0xFC), *secrets.token_bytes(5)]
    return Fresh(
        machine_id=uuid.uuid4().hex,
        seed=secrets.token_bytes(512),
        mac=":".join(f"{octet:02x}" for octet in octets),
        staging=machine.make_staging(),
    )


def signals_of(machine: LocalMachine) -> dict[str, Values]:
    """Return the platform's signals, with the permanent MACs that netlink knows where links were asked."""
    macs = {link.name: link.permanent_mac for link in machine.links() if link.permanent_mac}
    return platform.signals(macs or None)


def adopt(machine: LocalMachine) -> bool:
    """Take this machine's identity as its own, as it is; return whether a stamp was written. Raises HostError.

    What the package does when it is installed on a machine that runs: nothing but the stamp changes.
    """
    if machine.exists(stamp.PATH) or machine.exists(BAKED_OFFLINE):
        return False
    run = Run(machine, Config(), signals_of(machine))
    run.decide()
    run.observation = observe(run.artefacts, machine)
    return run.finish()
