"""Opener: the openings, made as the node's roles say, and looked at for what else could close them."""

from __future__ import annotations

import asyncio

from nodeprep import report
from nodeprep.errors import HostError
from nodeprep.host.firewall.nftables import Nftables
from nodeprep.model import Opening
from nodeprep.run import Run
from nodeprep.steps import ApplyOpenings, Plan, Step


async def make_openings(this: Run, firewall: Nftables, wanted: tuple[Opening, ...]) -> report.Document:
    """Make the openings, unless they are off, and return the part of the status document on them."""
    mode = this.config.firewall.mode
    closed: list[str] = []
    if mode != "off":
        step = Step(("openings",), (ApplyOpenings(wanted, mode),), "the node's roles")
        await asyncio.to_thread(this.carry_out, Plan((step,)))
        try:
            chains = await asyncio.to_thread(firewall.closed_by, wanted)
            closed = [f"{chain.title} ({chain.reason})" for chain in chains]
        except HostError as error:
            closed = [str(error)]
    return report.openings(wanted, mode, "nftables" if mode != "off" else "-", closed)
