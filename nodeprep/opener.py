"""Opener: the openings, made as the node's roles say, and looked at for what else could close them."""

from __future__ import annotations

import asyncio

from nodeprep import report
from nodeprep.errors import HostError
from nodeprep.host.firewall.choice import Firewalls
from nodeprep.model import Opening
from nodeprep.run import Run
from nodeprep.steps import ApplyOpenings, Plan, Step


async def make_openings(this: Run, firewalls: Firewalls, wanted: tuple[Opening, ...]) -> report.Document:
    """Make the openings, or take them away where they are off; return the part of the status document on them."""
    mode, backend = this.config.firewall.mode, this.config.firewall.backend
    step = Step(("openings",), (ApplyOpenings(wanted, mode, backend),), "the node's roles")
    await asyncio.to_thread(this.carry_out, Plan((step,)))
    if mode == "off":
        return report.openings(wanted, mode, "-", (), firewalls.remarks((), mode))
    closed, remarks = await asyncio.to_thread(_looked_at, firewalls, wanted, mode)
    return report.openings(wanted, mode, firewalls.name, closed, remarks)


def _looked_at(firewalls: Firewalls, wanted: tuple[Opening, ...], mode: str) -> tuple[list[str], list[str]]:
    """Return what may close the openings, and what else is to be said of the firewall."""
    try:
        return list(firewalls.closed_by(wanted)), list(firewalls.remarks(wanted, mode))
    except HostError as error:
        return [str(error)], []
