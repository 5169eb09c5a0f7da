"""The running system: its managers over the bus, bridged to the threads in which plans are applied.

`Live` lives in the event loop. Its plain methods are what a worker thread calls: they hand the work to the loop and
wait, with a bound.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from nodeprep.errors import HostError
from nodeprep.host import hostnamed, links, witness
from nodeprep.host.bus import Bus
from nodeprep.host.files import Files
from nodeprep.host.firewall.choice import Driven, Firewalls
from nodeprep.host.firewall.firewalld import Firewalld
from nodeprep.host.firewall.iptables import Iptables
from nodeprep.host.firewall.nftables import Nftables
from nodeprep.host.firewall.ufw import Ufw
from nodeprep.host.local import LocalMachine
from nodeprep.host.network import ifupdown, netplan, networkd, trial
from nodeprep.host.network.carrying import with_platform
from nodeprep.host.network.networkmanager import NetworkManager
from nodeprep.model import Link, Opening, Profile
from nodeprep.patience import pauses
from nodeprep.steps import SetProfile

T = TypeVar("T")
CALL_TIMEOUT_S = 90.0
LATE_S = 3.0
"""Enough for a profile that was changed; more, for a server that did not answer before, would only hold the boot."""
VIEW_TRIES = 4
VIEW_AGAIN_S = 0.3
POLL_S = 0.1
BEHIND_MANAGERS = frozenset(
    (
        "/etc/hostname",
        *(f"{folder}/NetworkManager/system-connections/*" for folder in ("/etc", "/run", "/usr/lib")),
    )
)
"""What they read themselves, and tell of."""
SEARCH_TIMEOUT_S = 130.0
"""More than the unit that searches is given itself."""
BUS = "org.freedesktop.DBus"  # Debian's policy for the system bus lets nobody ask it, and then nobody can be misled
READY_TARGET = "nodeprep-ready.target"
LOGIND = "org.freedesktop.login1"
NETWORKMANAGER = "org.freedesktop.NetworkManager"
NETWORKD = "org.freedesktop.network1"


@dataclass(slots=True)
class Memory:
    """What one `Live` leaves to the next."""

    is_late: bool = False
    driven: Driven = field(default_factory=Driven)


class Live:
    """The bus, NetworkManager, hostnamed, netlink and the firewall of a running system."""

    def __init__(self, bus: Bus, only_links: tuple[str, ...] = (), memory: Memory | None = None) -> None:
        self._bus = bus
        self._only_links = only_links
        self._memory = memory or Memory()
        self._loop = asyncio.get_running_loop()
        self._network = NetworkManager(bus)
        self._files: Files = Files("live")
        self._links: tuple[Link, ...] = ()
        self._firewalld = Firewalld(bus, self._in_loop, lambda: [link.name for link in self._links])
        iptables = Iptables()
        self.firewalls = Firewalls(
            (self._firewalld, Ufw(Files("live"), iptables)), iptables, Nftables(), self._memory.driven
        )

    async def settled(self, timeout_s: float) -> bool:
        """Wait until the managers have finished what they start at boot; whether they have, or are not there at all.

        What a daemon that was cut off had on trial is undone before. Once that took longer than there was time, a link
        waits for what may never come, such as a DHCP server: from then on it is waited for LATE_S at most.
        """
        settled = await self._settled(min(timeout_s, LATE_S) if self._memory.is_late else timeout_s)
        self._memory.is_late = self._memory.is_late or not settled
        return settled

    async def _settled(self, timeout_s: float) -> bool:
        deadline, waits = time.monotonic() + timeout_s, pauses(POLL_S)
        try:
            await asyncio.to_thread(trial.recover, self._files, self._manager)
            found = await asyncio.to_thread(links.links, self._only_links or None)
            while await self._bus.has_owner(NETWORKD) and await asyncio.to_thread(
                networkd.starting, found, self._files
            ):
                if time.monotonic() >= deadline:
                    return False
                await asyncio.sleep(next(waits))
            return not await self._network.running() or await self._network.wait_startup(timeout_s)
        except HostError:
            return False

    async def view(self, run: str) -> LocalMachine:
        """Return the machine as it is now. Raises HostError."""
        for _ in range(VIEW_TRIES):
            try:
                return await self._view(run)
            except HostError:
                await asyncio.sleep(VIEW_AGAIN_S)  # a manager that is starting takes objects away under our hands
        return await self._view(run)

    async def seen(self, run: str) -> tuple[tuple[Link, ...], tuple[Profile, ...], str, frozenset[str]]:
        """Return what a view is made of: links, profiles and hostname; and what was read for it. Raises HostError."""
        machine = await self.view(run)
        return machine.links(), machine.profiles(), machine.hostname(), self._files.asked | BEHIND_MANAGERS

    async def links(self) -> tuple[Link, ...]:
        """Return the machine's links as they are now. Raises HostError."""
        return tuple(with_platform(link) for link in await asyncio.to_thread(links.links, self._only_links or None))

    async def _view(self, run: str) -> LocalMachine:
        found = await self.links()
        self._links = found
        profiles = await asyncio.to_thread(self._profiles_in_files, await self._bus.has_owner(NETWORKD))
        if await self._network.running():
            taken = {profile.link for profile in profiles}
            theirs = await self._network.profiles()
            profiles += tuple(replace(one, link=None) if one.link in taken else one for one in theirs)
        hostname = await hostnamed.static_hostname(self._bus)
        machine = LocalMachine(run, links=found, profiles=profiles, hostname=hostname, managers=self)
        self._files = machine  # with its attic
        return machine

    def _profiles_in_files(self, has_networkd: bool) -> tuple[Profile, ...]:
        """Return the profiles of the links that networkd, netplan and ifupdown have in hand. Raises HostError."""
        theirs = networkd.profiles(self._links, self._files) if has_networkd else ()
        return tuple(map(netplan.adopted, theirs)) + ifupdown.profiles(self._links, self._files)

    async def machine_ids(self) -> dict[str, str]:
        """Return who gives which machine ID, of the services on the bus that run and answer (Peer.GetMachineId)."""
        given = {}
        for service in (BUS, hostnamed.SYSTEMD, hostnamed.HOSTNAMED, LOGIND, NETWORKMANAGER):
            try:
                if not await self._bus.has_owner(service):
                    continue
                given[service] = await hostnamed.machine_id(self._bus, service)
            except HostError:
                continue
        return given

    async def holders(self, machine_id: str) -> tuple[str, ...]:
        """Return "PID NAME" of each process that holds the ID in its memory, by a unit that may look (witness.py).

        Raises HostError where that does not start, does not end in time, or could not look.
        """
        files = Files("live")
        try:
            for path, content in ((witness.QUESTION, machine_id.encode()), (witness.ANSWER, b"")):
                await asyncio.to_thread(files.write_own, path, content, 0o600)
            result = await self._run_to_end(witness.UNIT, SEARCH_TIMEOUT_S)
            found = witness.answered(files.read_text(witness.ANSWER) or "")
        finally:
            for path in (witness.QUESTION, witness.ANSWER):
                await asyncio.to_thread(files.remove_own, path)
        if result != "success":
            raise HostError(f"{witness.UNIT}: {result}")
        if found is None:
            raise HostError(f"{witness.UNIT}: no answer, or no process to look at")
        return found

    async def _run_to_end(self, name: str, timeout_s: float) -> str:
        """Start a unit that ends by itself, and return with what result it did. Raises HostError."""
        await self._systemd("StartUnit", "ss", name, "replace")
        unit = await self._systemd("LoadUnit", "s", name)
        deadline = time.monotonic() + timeout_s
        # A unit that is being started has a job: a number and a path, the number 0 where there is none.
        while (await self._bus.get_property(hostnamed.SYSTEMD, unit, f"{hostnamed.SYSTEMD}.Unit", "Job"))[0]:
            if time.monotonic() >= deadline:
                raise HostError(f"{name}: not done within {timeout_s:.0f} s")
            await asyncio.sleep(POLL_S)
        return str(await self._bus.get_property(hostnamed.SYSTEMD, unit, f"{hostnamed.SYSTEMD}.Service", "Result"))

    async def start_ready(self) -> None:
        """Start the ready target, and what requires it and is wanted but was not started. Raises HostError."""
        await self._systemd("StartUnit", "ss", READY_TARGET, "replace")
        unit = await self._systemd("LoadUnit", "s", READY_TARGET)
        interface = f"{hostnamed.SYSTEMD}.Unit"
        for name in await self._bus.get_property(hostnamed.SYSTEMD, unit, interface, "RequiredBy"):
            other = await self._systemd("LoadUnit", "s", name)
            about = await self._bus.get_all(hostnamed.SYSTEMD, other, interface)
            if about["ActiveState"] in ("inactive", "failed") and about["WantedBy"]:
                await self._systemd("StartUnit", "ss", name, "replace")

    async def _systemd(self, member: str, signature: str, *body: str) -> str:
        """Call systemd's manager for the path that it returns. Raises HostError."""
        manager = f"{hostnamed.SYSTEMD}.Manager"
        path = "/org/freedesktop/systemd1"
        return str((await self._bus.call(hostnamed.SYSTEMD, path, manager, member, signature, body))[0])

    def _manager(self, profile: str) -> trial.Manager:
        """Return how the manager of a profile that lies in files takes links down and up."""
        managers = {networkd.NAME: networkd.MANAGER, netplan.NAME: netplan.MANAGER}
        return managers.get(profile.partition(":")[0]) or ifupdown.manager(self._files)

    # What a worker thread calls

    def set_hostname(self, hostname: str) -> None:
        """Set the hostname through hostnamed. Raises HostError."""
        self._in_loop(hostnamed.set_hostname(self._bus, hostname))

    def set_profile(self, change: SetProfile) -> None:
        """Change a profile through its manager, activate it, and put it back if it does not carry. Raises HostError."""
        match change.profile.partition(":")[0]:
            case networkd.NAME:
                networkd.set_profile(change, self._links, self._files)
            case netplan.NAME:
                netplan.set_profile(change, self._links, self._files)
            case ifupdown.NAME:
                ifupdown.set_profile(change, self._files)
            case _:  # a UUID
                self._in_loop(self._network.set_profile(change))

    def set_link_mac(self, link: str, mac: str) -> None:
        """Set the MAC of a link without a profile. Raises HostError."""
        links.set_link_mac(link, mac)

    def apply_openings(self, openings: tuple[Opening, ...], mode: str, backend: str) -> None:
        """Make the openings in that firewall, unless they are as they should be. Raises HostError."""
        self.firewalls.apply(openings, mode, backend)

    def firewall(self, openings: tuple[Opening, ...], mode: str) -> tuple[str, list[str], list[str]]:
        """Return the firewall that is driven, what may close these openings, and what else is to be said of it.

        In mode "off" nothing is opened that could be closed. Raises HostError.
        """
        if mode == "off":
            return "-", [], list(self.firewalls.remarks((), mode))
        try:
            closed, remarks = self.firewalls.closed_by(openings), self.firewalls.remarks(openings, mode)
        except HostError as error:
            return self.firewalls.name, [str(error)], []
        return self.firewalls.name, list(closed), list(remarks)

    def _in_loop(self, work: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(CALL_TIMEOUT_S)
        except FutureTimeoutError as error:
            future.cancel()
            raise HostError(f"no answer within {CALL_TIMEOUT_S:.0f} s") from error
