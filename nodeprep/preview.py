"""`nodeprep plan`: the sentence up to the plan, on this machine as it is now, and nothing after it.

A pair of twins is found on the wire only, and so cannot be foreseen here; what a peer contests now is in the status.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import fields, is_dataclass

from nodeprep import config, naming, run
from nodeprep.errors import NodeprepError
from nodeprep.host.bus import Bus
from nodeprep.host.live import Live
from nodeprep.host.local import LocalMachine
from nodeprep.model import Stage
from nodeprep.observe import observe
from nodeprep.renewal import Renewal
from nodeprep.stamp import fingerprints
from nodeprep.steps import Action, Plan, Situation


def main(*, as_json: bool) -> int:
    """Print the plan; exit code 1 where something keeps it from being made."""
    if os.geteuid() != 0:
        print("nodeprep: plan reads host keys and the stamp: run it as root", file=sys.stderr)
        return 1
    try:
        machine = asyncio.run(view())
        this, steps = foresee(machine)
    except NodeprepError as error:
        print(f"nodeprep: {error}", file=sys.stderr)
        return 1
    if as_json:
        document = {
            "schema": 1,
            "origin": this.decision.origin.value,
            "reason": this.decision.reason,
            "joined": this.decision.joined,
            "steps": [
                {
                    "subjects": list(s.subjects),
                    "reason": s.reason,
                    "actions": [show(action, this) for action in s.actions],
                }
                for s in steps.steps
            ],
        }
        print(json.dumps(document, indent=2))
        return 0
    print(f"{this.decision.origin.value}: {this.decision.reason}")
    if not steps:
        print("nothing would be done")
    for step in steps.steps:
        print(f"\n{', '.join(step.subjects)}  ({step.reason})")
        for action in step.actions:
            print(f"  {show(action, this)}")
    return 0


def foresee(machine: LocalMachine) -> tuple[run.Run, Plan]:
    """Return what would be decided and done. Reads only. Raises NodeprepError."""
    settings = config.load(machine)
    run.openings_of(machine, settings)
    this = run.Run(machine, settings, run.signals_of(machine))
    this.decide()
    if this.decision.renews and this.renewal is None:
        observation = observe(this.artefacts, machine)
        known = this.stamp.artefacts if this.stamp else {}
        inherited = {
            name: known.get(name) or fingerprints(name, reading)
            for name, reading in observation.items()
            if isinstance(reading, frozenset)
        }
        this.renewal = Renewal(this.decision.origin, this.decision.reason, inherited)
    this.look()
    macs = sorted(link.permanent_mac or link.mac for link in machine.links())
    situation = Situation(
        machine_id=this.machine_id(),
        hostname=naming.hostname_for(machine, settings, run.PLACEHOLDER.machine_id, macs),
        links=machine.links(),
        profiles=machine.profiles(),
        address_on_conflict=settings.address.on_conflict,
        mac_on_conflict=settings.mac.on_conflict,
        active_units=this.units(),
    )
    steps = tuple(step for stage in Stage for step in this.propose(run.PLACEHOLDER, situation, stage).steps)
    return this, Plan(steps)


def show(action: Action, this: run.Run) -> str:
    """Return an action as one line, without what is secret or confidential in it (machine-id(5))."""
    assert is_dataclass(action)
    told = ", ".join(f"{f.name}={getattr(action, f.name)!r}" for f in fields(action) if f.repr)
    for name, placeholder in ((this.machine_id(), "MACHINE-ID"), (run.PLACEHOLDER.machine_id, "NEW-MACHINE-ID")):
        told = told.replace(name, placeholder) if name else told
    return f"{type(action).__name__}({told})"


async def view() -> LocalMachine:
    """Return this machine as its managers see it, or, where there is no bus, its files alone."""
    try:
        async with Bus() as bus:
            return await Live(bus).view("plan")
    except NodeprepError:
        return LocalMachine("plan")  # no bus: what lives in files can still be told
