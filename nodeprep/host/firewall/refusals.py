"""Refusals: who of this machine refuses a peer an opening, in the words of whoever manages the rule, and what mends it.

Every chain on the way in has to accept, so that each that refuses is named.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

from nodeprep.errors import HostError
from nodeprep.host.bus import Bus
from nodeprep.host.firewall import zones
from nodeprep.host.firewall.firewalld import Firewalld
from nodeprep.host.firewall.iptables import Iptables
from nodeprep.host.firewall.nftables import Nftables
from nodeprep.host.firewall.passage import Packet, Stop, of_peer
from nodeprep.host.firewall.tuples import spoken
from nodeprep.host.firewall.ufw import Ufw
from nodeprep.model import Opening

_OF_UFW = re.compile(r"ufw6?-")


@dataclass(frozen=True, slots=True)
class Refusal:
    """One who refuses."""

    by: str
    remedy: str
    """The command that has it accept."""


class Refusals:
    """Whoever filters on this machine."""

    def __init__(self, bus: Bus, ufw: Ufw, iptables: Iptables, nftables: Nftables) -> None:
        self._bus = bus
        self._ufw = ufw
        self._iptables = iptables
        self._nftables = nftables

    async def of(self, opening: Opening, peer: str, link: str, address: str) -> tuple[Refusal, ...]:
        """Return those who refuse a peer, whose packets come in by a link, an opening at an address of ours.

        What cannot be read refuses nothing that is known of.
        """
        found = []
        try:
            if told := await zones.refusal(self._bus, opening, peer, link):
                found.append(Refusal(*told))
        except HostError:
            pass
        packet = of_peer(opening, peer, link, address)
        return (*found, *await asyncio.to_thread(self._of_chains, packet))

    def _of_chains(self, packet: Packet) -> list[Refusal]:
        found = []
        try:
            runs_ufw = self._ufw.active()
            for program, stop in self._iptables.stops(packet):
                is_ufws = _OF_UFW.match(stop.chain) or (not stop.rule and program == self._iptables.own(packet.version))
                found.append(
                    self._by_ufw(stop, packet) if runs_ufw and is_ufws else _by_iptables(program, stop, packet)
                )
            opening = packet.opening
            for chain in self._iptables.beside(self._nftables.closed_by((opening,))):
                if not Firewalld.owned.match(f"{chain.title} "):
                    place = chain.title.replace("table ", "", 1).replace("chain ", "", 1)
                    command = f"`nft insert rule {place} {opening.protocol} dport {opening.ports} accept`"
                    found.append(Refusal(f"{chain.title} ({chain.reason})", f"{command}, and where it is loaded from"))
        except HostError:
            pass
        return found

    def _by_ufw(self, stop: Stop, packet: Packet) -> Refusal:
        opening = packet.opening
        if not stop.rule:
            return Refusal("ufw's default for what comes in", f"`ufw allow {opening.title.replace('-', ':')}`")
        if "user" not in stop.chain:
            where = "/etc/ufw/before*.rules and after*.rules"
            return Refusal(f"ufw's chain {stop.chain}", f"take the rule out of {where}, then `ufw reload`")
        words = self._ufw.refusing(opening, packet.source)
        rule = spoken(words) if words else ""
        command = f"`ufw delete {rule}`" if rule else "`ufw status numbered`, then `ufw delete NUMBER`"
        return Refusal(f"ufw's rule `{rule}`" if rule else f"ufw's chain {stop.chain}", command)


def _by_iptables(program: str, stop: Stop, packet: Packet) -> Refusal:
    opening = packet.opening
    match = f"-p {opening.protocol} --dport {opening.ports.replace('-', ':')}"
    command = f"`{program} -I INPUT {match} -j ACCEPT`, and where the rules are loaded from"
    return Refusal(f"{program} chain {stop.chain} ({stop.reason})", command)
