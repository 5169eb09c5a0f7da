"""Opener: the openings, made as the node's roles say, and looked at for what else could close them."""

from __future__ import annotations

import asyncio

from nodeprep import report
from nodeprep.host.foreman import Foreman
from nodeprep.model import Opening
from nodeprep.run import Run
from nodeprep.steps import ApplyOpenings, Plan, Step


async def make_openings(this: Run, foreman: Foreman, wanted: tuple[Opening, ...]) -> report.Document:
    """Make the openings, or take them away where they are off; return the part of the status document on them.

    Raises HostError.
    """
    mode, backend = this.config.firewall.mode, this.config.firewall.backend
    step = Step(("openings",), (ApplyOpenings(wanted, mode, backend),), "the node's roles")
    await asyncio.to_thread(this.carry_out, Plan((step,)))
    name, closed, remarks = await foreman.firewall(wanted, mode)
    return report.openings(wanted, mode, name, closed, remarks)
