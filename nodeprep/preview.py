"""Preview: the sentence up to the plan, on this machine as it is now, and nothing after it.

A pair of twins is found on the wire only, and so cannot be foreseen here; what a peer contests now is in the status.
"""

from __future__ import annotations

from nodeprep import config, run
from nodeprep.errors import NodeprepError
from nodeprep.host.bus import Bus
from nodeprep.host.live import Live
from nodeprep.host.local import LocalMachine
from nodeprep.model import Stage
from nodeprep.openings import openings_of
from nodeprep.situation import NUMBER, PLACEHOLDER, situation_of
from nodeprep.steps import Action, Plan
from nodeprep.wording import line


def foresee(machine: LocalMachine) -> tuple[run.Run, Plan]:
    """Return what would be decided and done. Reads only. Raises NodeprepError."""
    settings = config.load(machine)
    openings_of(machine, settings)
    this = run.Run(machine, settings, run.signals_of(machine))
    this.decide()
    this.look()
    situation = situation_of(this, PLACEHOLDER.machine_id, NUMBER)
    steps = tuple(step for stage in Stage for step in this.propose(PLACEHOLDER, situation, stage).steps)
    return this, Plan(steps)


def show(action: Action, this: run.Run) -> str:
    """Return an action as one line, without what is secret or confidential in it (machine-id(5))."""
    told = line(action)
    for name, placeholder in ((this.machine_id(), "MACHINE-ID"), (PLACEHOLDER.machine_id, "NEW-MACHINE-ID")):
        told = told.replace(name, placeholder) if name else told
    return told


async def view() -> LocalMachine:
    """Return this machine as its managers see it, or, where there is no bus, its files alone."""
    try:
        async with Bus() as bus:
            return await Live(bus).view("plan")
    except NodeprepError:
        return LocalMachine("plan")  # no bus: what lives in files can still be told
