"""The sentence: observe → judge → plan → apply → verify. Both runs of a boot speak it through a Run.

A Run holds what is known so far. Its methods are synchronous and may be called in a worker thread, one at a time; what
lies between them (waiting for the network, probing the peers) is the daemon's.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from nodeprep import apply, config, judge, plan, renewal, roles, stamp
from nodeprep.artefacts import catalogue
from nodeprep.config import Config
from nodeprep.errors import ConfigError, StampError
from nodeprep.host import platform, programs
from nodeprep.host.local import LocalMachine
from nodeprep.model import (
    Artefact,
    Claim,
    Decision,
    Finding,
    Observation,
    Opening,
    Origin,
    Reading,
    Stage,
    Unreadable,
    Values,
    Verdict,
)
from nodeprep.observe import joined, observe
from nodeprep.renewal import Renewal
from nodeprep.stamp import Stamp, fingerprint, fingerprints
from nodeprep.steps import Fresh, Outcome, Plan, Result, Situation
from nodeprep.verify import verify

DRIVEN = ("auto", "nftables")
BAKED_OFFLINE = "/var/lib/nodeprep/baked-offline"


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
    renewal: Renewal | None = None
    contested: dict[Claim, Values] = field(default_factory=dict)
    original: Observation = field(default_factory=dict)
    observation: Observation = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    changes: dict[str, Change] = field(default_factory=dict)

    def decide(self) -> None:
        """Decide how this boot relates to the stamp; a renewal that was cut off goes on. Raises HostError."""
        self.stamp = read_stamp(self.machine)
        self.renewal = read_renewal(self.machine)
        is_joined = bool(joined(self.machine))
        if self.renewal is not None:
            self.decision = Decision(self.renewal.origin, self.renewal.reason, is_joined, resumed=True)
            return
        self.decision = judge.decide(
            self.stamp,
            self.signals,
            baked_offline=self.machine.exists(BAKED_OFFLINE),
            on_hardware_change=self.config.identity.on_hardware_change,
            joined=is_joined,
        )

    def look(self) -> None:
        """Observe, judge, see which contested values are still presented, and what the steps so far have changed."""
        inherited = self.renewal.inherited if self.renewal else {}
        self.observation, self.findings, self.contested = verify(
            self.artefacts, self.machine, inherited, self.contested
        )
        self.original = self.original or self.observation
        for artefact in self.artefacts:
            outcome = self.outcomes.get(artefact.name)
            old, new = (show(artefact, seen.get(artefact.name)) for seen in (self.original, self.observation))
            if outcome and outcome.result is Result.DONE and (old != new or artefact.name in self.changes):
                first = self.changes[artefact.name].old if artefact.name in self.changes else old
                self.changes[artefact.name] = Change(artefact.name, first, new)

    def begin(self) -> None:
        """Write down what the template holds, before the first change. Raises HostError where that cannot be kept.

        On a clone that is what the stamp says; on a first boot and on a twin it is everything there is.
        """
        inherited: dict[str, Values] = dict(self.renewal.inherited) if self.renewal else {}
        before = dict(inherited)
        known = self.stamp.artefacts if self.stamp and self.decision.origin is Origin.CLONE else None
        observation = observe(self.artefacts, self.machine)
        for artefact in self.artefacts:
            reading = observation[artefact.name]
            if artefact.name in inherited or isinstance(reading, Unreadable):
                continue
            if known is not None and not artefact.volatile:
                inherited[artefact.name] = known.get(artefact.name, frozenset())
            elif artefact.name == "mac":
                # A link's own MAC is nobody's legacy; what a profile pins, or a live peer bears as well, is.
                pinned = {profile.pinned_mac for profile in self.machine.profiles() if profile.pinned_mac}
                inherited["mac"] = fingerprints("mac", pinned | self.contested.get(Claim.MAC, frozenset()))
            else:  # what is lacking now is nobody's legacy, and neither is what will be made in its place
                values = reading if isinstance(reading, frozenset) else ()
                inherited[artefact.name] = fingerprints(artefact.name, values)
        if self.renewal is None or inherited != before:
            self.machine.require_space()
            reboots = self.renewal.reboots if self.renewal else 0
            self.keep_renewal(Renewal(self.decision.origin, self.decision.reason, inherited, reboots))

    def keep_renewal(self, value: Renewal) -> None:
        """Write the renewal under way. Raises HostError."""
        self.machine.write_own(renewal.PATH, renewal.encode(value).encode(), 0o600)
        self.renewal = value

    def call_it_a_twin(self, detail: str) -> None:
        """Take it that everything we have is a live peer's as well, since our machine ID is."""
        if self.decision.origin is not Origin.TWIN:
            self.decision = replace(self.decision, origin=Origin.TWIN, reason=detail)
            self.renewal = replace(self.renewal, origin=Origin.TWIN, reason=detail) if self.renewal else None

    def propose(self, fresh: Fresh, situation: Situation, stage: Stage) -> Plan:
        """Return the plan for the artefacts of one stage."""
        artefacts = [artefact for artefact in self.artefacts if artefact.stage is stage]
        return plan.plan(artefacts, self.findings, self.decision, fresh, situation)

    def carry_out(self, steps: Plan) -> None:
        """Apply a plan and remember what became of it."""
        for outcome in sorted(apply.apply(steps, self.machine), key=lambda o: o.result is not Result.DONE):
            self.outcomes[outcome.subject] = outcome  # a failure is not covered by a later success of the same plan

    def finish(self) -> bool:
        """Write the stamp if anything in it changed, end the renewal, and return whether anything was written.

        Raises HostError.
        """
        volatile = frozenset(artefact.name for artefact in self.artefacts if artefact.volatile)
        digest = platform.digest(dict(self.signals))
        new = stamp.take(self.observation, volatile, self.signals, digest)
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
        for path in (BAKED_OFFLINE, renewal.PATH):
            if self.machine.exists(path):
                self.machine.remove_own(path)
                written = True
        self.renewal = None
        return written

    def adopted(self) -> tuple[str, ...]:
        """Return the artefacts that differ from the stamp though nothing was renewed: an operator changed them."""
        if self.stamp is None or self.renewal is not None:
            return ()
        names = []
        for artefact in self.artefacts:
            reading = self.observation.get(artefact.name)
            if artefact.volatile or artefact.name in self.changes or not isinstance(reading, frozenset):
                continue
            if fingerprints(artefact.name, reading) != self.stamp.artefacts.get(artefact.name, frozenset()):
                names.append(artefact.name)
        return tuple(names)

    def units(self) -> frozenset[str]:
        """Return the units that artefacts name and that run now."""
        return programs.active_units(frozenset(unit for a in self.artefacts for unit in (*a.idle, *a.restart)))

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


PLACEHOLDER = Fresh(
    machine_id="f" * 32, seed=b"", mac="02:00:00:00:00:00", staging="STAGING", ipv4_address="POOL", ipv6_address="POOL"
)
"""Stands in where it only matters whether there would be a plan."""


def draw(machine: LocalMachine) -> Fresh:
    """Draw everything random that one plan may use. Raises HostError where there is no room for a staging folder."""
    octets = [0x02 | (secrets.randbits(8) & 0xFC), *secrets.token_bytes(5)]
    return Fresh(
        machine_id=uuid.uuid4().hex,
        seed=secrets.token_bytes(512),
        mac=":".join(f"{octet:02x}" for octet in octets),
        staging=machine.make_staging(),
    )


def read_stamp(machine: LocalMachine) -> Stamp | None:
    """Return the stamp, or the one before where it is torn, or None where there is none. Raises HostError."""
    for path in (stamp.PATH, stamp.PREVIOUS):
        text = machine.read_text(path)
        if text is None:
            continue
        try:
            return stamp.decode(text)
        except StampError:
            continue
    return None


def read_renewal(machine: LocalMachine) -> Renewal | None:
    """Return the renewal under way, or None. A torn one never took effect: it is written before the first change."""
    text = machine.read_text(renewal.PATH)
    try:
        return renewal.decode(text) if text is not None else None
    except StampError:
        return None


def openings_of(machine: LocalMachine, settings: Config) -> tuple[Opening, ...]:
    """Return what the node's roles need open.

    Raises ConfigError for a role that is not there or not usable, and for what this release does not do.
    """
    firewall = settings.firewall
    unmet = {
        "firewall.backend": firewall.backend if firewall.backend not in DRIVEN and firewall.mode != "off" else None,
        "identity.joined_clone": settings.identity.joined_clone if settings.identity.joined_clone != "hold" else None,
        "peers.unicast": settings.peers.unicast,
    }
    for key, value in unmet.items():
        if value:
            problem = f"{value!r} is not in this release"
            raise ConfigError(settings.origin(key), key, problem, "leave the key at its default")
    files = config.role_files(machine)
    known = {name: roles.parse(name, config.role_table(machine, path), path) for name, path in files.items()}
    chosen = roles.select(settings.node.roles, known, settings.origin("node.roles"))
    return roles.openings(chosen, settings.cluster.nodes, settings.cluster.clients)


def wanting(findings: Sequence[Finding]) -> bool:
    """Whether anything is left that a renewal could be about."""
    return any(f.verdict in (Verdict.INHERITED, Verdict.CONFLICT, Verdict.MISSING) for f in findings)


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
