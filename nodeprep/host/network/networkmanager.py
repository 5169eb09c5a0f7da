"""Connection profiles through NetworkManager's own D-Bus interface, each change proven on the link before it is kept.

A change is made in memory and activated under a checkpoint; only when the link was seen to carry with it does it go to
disk. NetworkManager takes back by itself what is not kept (the checkpoint's own timer), even if this program dies.
Nothing here starts NetworkManager. Everything raises HostError, in bounded time.

Source: NetworkManager's D-Bus API reference, https://networkmanager.dev/docs/api/latest/spec.html.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from nodeprep.errors import HostError
from nodeprep.host import links
from nodeprep.host.bus import Bus
from nodeprep.host.network.carrying import held, missing
from nodeprep.host.network.connection import Settings, addresses_of, edited, profile_of, same, without_deprecated
from nodeprep.model import Link, Profile
from nodeprep.patience import pauses
from nodeprep.steps import SetProfile

NM = "org.freedesktop.NetworkManager"
NM_PATH = "/org/freedesktop/NetworkManager"
SETTINGS, SETTINGS_PATH = f"{NM}.Settings", f"{NM_PATH}/Settings"
CONNECTION = f"{NM}.Settings.Connection"
ACTIVE = f"{NM}.Connection.Active"
DEVICE = f"{NM}.Device"

RUNTIME = "/run/NetworkManager/system-connections/"
TO_DISK, IN_MEMORY, NO_REAPPLY = 0x01, 0x02, 0x40  # NMSettingsUpdate2Flags
FLAG_EXTERNAL = 0x08  # NMSettingsConnectionFlags: a record of what another program configured, nobody's profile
ACTIVATED, DEACTIVATED = 2, 4  # NMActiveConnectionState
DEVICE_ACTIVATED = 100  # NMDeviceState

ANSWER_TIMEOUT_S = 30.0
"""It takes its name some moments before it answers to it: many where a whole fleet boots on one host."""
ACTIVATION_TIMEOUT_S = 20.0
CARRY_TIMEOUT_S = 8.0
"""For carrier and IPv6 duplicate address detection (RFC 4862) after the activation."""
GATEWAY_TIMEOUT_S = 2.0
ROLLBACK_TIMEOUT_S = 45
"""When NetworkManager takes back by itself what was not kept: later than we would have."""
RETURN_TIMEOUT_S = 15.0
"""For the link, or NetworkManager itself, to be back after a failure."""
POLL_S = 0.05


class NetworkManager:
    """NetworkManager on a bus."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def running(self) -> bool:
        """Whether NetworkManager is on the bus. Raises HostError if the bus does not answer."""
        return await self._bus.has_owner(NM)

    async def wait_startup(self, timeout_s: float = 30.0) -> bool:
        """Wait until NetworkManager has brought up what it would at boot; whether it had within timeout_s seconds.

        They count from when it answers, for which it has ANSWER_TIMEOUT_S. Raises HostError if it does not run.
        """
        deadline, waits = time.monotonic() + ANSWER_TIMEOUT_S, pauses(POLL_S)
        answered = False
        while True:
            try:
                starting = await self._bus.get_property(NM, NM_PATH, NM, "Startup", start=False)
            except HostError:
                if not await self.running():
                    raise
            else:
                if not starting:
                    return True
                deadline = deadline if answered else time.monotonic() + timeout_s
                answered = True
            if time.monotonic() >= deadline:
                return False
            await asyncio.sleep(next(waits))

    async def profiles(self) -> tuple[Profile, ...]:
        """Return every profile, saved or active, by title; not NetworkManager's records of what others configured.

        link is the one a profile is active on, or else the one it names. Raises HostError.
        """
        active: dict[str, str] = {}
        for path in await self._bus.get_property(NM, NM_PATH, NM, "ActiveConnections", start=False):
            held = await self._bus.get_all(NM, path, ACTIVE, start=False)
            for device in held["Devices"][:1]:
                active[held["Uuid"]] = await self._bus.get_property(NM, device, DEVICE, "Interface", start=False)
        found = []
        (paths,) = await self._call(SETTINGS_PATH, SETTINGS, "ListConnections")
        for path in paths:
            flags = await self._bus.get_property(NM, path, CONNECTION, "Flags", start=False)
            (settings,) = await self._call(path, CONNECTION, "GetSettings")
            if not flags & FLAG_EXTERNAL:
                found.append(profile_of(settings, active))
        return tuple(sorted(found, key=lambda profile: (profile.title, profile.key)))

    async def set_profile(self, change: SetProfile) -> None:
        """Change a profile, activate it on the link and keep it only if the link then carries.

        To carry is: activated, carrier, the MAC and every address wanted and none found duplicate, and a gateway that
        answers if one answered before. Gateway, routes, DNS and secrets stay. () for addresses means DHCP or router
        advertisements, "" for the MAC returns the link to its original one. No other profile is touched. Takes about
        1 s, 3 s with IPv6, at most 80 s when all fails. Raises HostError; the link then has its former profile.
        """
        path, device = await self._path(change.profile), await self._device(change.link)
        file = await self._bus.get_property(NM, path, CONNECTION, "Filename", start=False)
        (former,) = await self._call(path, CONNECTION, "GetSettings", unwrap=False)
        changed = edited(former, change)
        owner = await self._owner()
        before = await asyncio.to_thread(links.link, change.link)
        # A NetworkManager that was started while the link bore the pin takes that for the link's own MAC, and without
        # a pin leaves it there. So the hardware's is set for once; on the disk there is none.
        own = before.permanent_mac if change.mac == "" else None
        tried = edited(former, replace(change, mac=own)) if own else changed
        version = await self._answering_gateway(device, change.link)
        (checkpoint,) = await self._call(NM_PATH, NM, "CheckpointCreate", "aouu", [device], ROLLBACK_TIMEOUT_S, 0)
        try:
            await self._update(path, tried, IN_MEMORY | NO_REAPPLY)
            await self._activate(path, device)
            await self._prove(change, device, _wanted(change, changed, before), version)
            if await self._owner() != owner:
                raise HostError("NetworkManager was restarted meanwhile")
            await self._update(path, changed if own else {}, TO_DISK | NO_REAPPLY)
            await self._call(NM_PATH, NM, "CheckpointDestroy", "o", checkpoint)
        except BaseException as error:
            undone = await asyncio.shield(self._undo(change, former, file, before.mac, checkpoint, owner))
            if isinstance(error, HostError):
                raise HostError(f"profile {change.profile} on {change.link}: {error}; {undone}") from error
            raise

    async def _update(self, path: str, settings: Settings, flags: int) -> None:
        # Secrets are not among the settings; NetworkManager keeps those it has when it is given none.
        await self._call(path, CONNECTION, "Update2", "a{sa{sv}}ua{sv}", settings, flags, {})

    async def _activate(self, path: str, device: str) -> None:
        (active,) = await self._call(NM_PATH, NM, "ActivateConnection", "ooo", path, device, "/")
        deadline, waits = time.monotonic() + ACTIVATION_TIMEOUT_S, pauses(POLL_S)
        state = 0
        while time.monotonic() < deadline:
            try:
                state = await self._bus.get_property(NM, active, ACTIVE, "State", start=False)
            except HostError as error:
                raise HostError(f"the activation failed ({await self._reason(device)})") from error
            if state == ACTIVATED:
                return
            if state == DEACTIVATED:
                raise HostError(f"the activation failed ({await self._reason(device)})")
            await asyncio.sleep(next(waits))
        raise HostError(f"not activated within {ACTIVATION_TIMEOUT_S:g} s ({await self._reason(device)})")

    async def _reason(self, device: str) -> str:
        try:
            state, reason = await self._bus.get_property(NM, device, DEVICE, "StateReason", start=False)
        except HostError as error:
            return str(error)
        return f"NMDeviceState {state}, NMDeviceStateReason {reason}"

    async def _prove(self, change: SetProfile, device: str, wanted: frozenset[str], version: str) -> None:
        deadline, waits = time.monotonic() + CARRY_TIMEOUT_S, pauses(POLL_S)
        while lacks := missing(await asyncio.to_thread(links.link, change.link), change, wanted):
            if time.monotonic() >= deadline or lacks.endswith("duplicate"):
                raise HostError(lacks)
            await asyncio.sleep(next(waits))
        while version and not await self._gateway_answers(device, change.link, version):
            if time.monotonic() >= deadline:
                raise HostError("the gateway answered before and does not any more")
            await asyncio.sleep(next(waits))
        if await self._bus.get_property(NM, device, DEVICE, "State", start=False) != DEVICE_ACTIVATED:
            raise HostError(f"the link did not stay activated ({await self._reason(device)})")

    async def _answering_gateway(self, device: str, link: str) -> str:
        """Which gateway of a device answers: "4" over ARP, else "6" over neighbour discovery, else ""."""
        for version in ("4", "6"):
            if await self._gateway_answers(device, link, version):
                return version
        return ""

    async def _gateway_answers(self, device: str, link: str, version: str) -> bool:
        path = await self._bus.get_property(NM, device, DEVICE, f"Ip{version}Config", start=False)
        if path == "/":
            return False
        gateway = await self._bus.get_property(NM, path, f"{NM}.IP{version}Config", "Gateway", start=False)
        return bool(gateway) and await asyncio.to_thread(links.neighbour_answers, link, gateway, GATEWAY_TIMEOUT_S)

    async def _undo(
        self, change: SetProfile, former: Settings, file: str, mac: str, checkpoint: str, owner: str
    ) -> str:
        """Put the former profile back and say how that went; never fails."""
        deadline = time.monotonic() + RETURN_TIMEOUT_S
        try:
            while not await self.running():  # it was killed, and systemd starts it again
                if time.monotonic() >= deadline:
                    _remove(_copies(change.profile, file))
                    return "NetworkManager is gone, and has the former profile at its next start"
                await asyncio.sleep(POLL_S)
            if await self._owner() == owner:
                (results,) = await self._call(NM_PATH, NM, "CheckpointRollback", "o", checkpoint)
                if any(results.values()):
                    return f"the rollback failed too (NMRollbackResult {sorted(results.values())})"
                await self._unshadow(change.profile, file)
            else:  # a new NetworkManager knows no checkpoint, but finds the change in /run
                await self.wait_startup(RETURN_TIMEOUT_S)
                await self._unshadow(change.profile, file)
                path = await self._path(change.profile)
                (left,) = await self._call(path, CONNECTION, "GetSettings", unwrap=False)
                if not same(left, former):  # it died after the change had gone to the file itself
                    flags = NO_REAPPLY | (IN_MEMORY if file.startswith(RUNTIME) else TO_DISK)
                    await self._update(path, without_deprecated(former), flags)
                # Where the profile pins none, the new one takes the MAC it finds for the link's own.
                await asyncio.to_thread(links.set_link_mac, change.link, mac)
                await self._activate(await self._path(change.profile), await self._device(change.link))
            device = await self._device(change.link)
            while await self._bus.get_property(NM, device, DEVICE, "State", start=False) != DEVICE_ACTIVATED:
                if time.monotonic() >= deadline:
                    return f"rolled back, but the link is not up ({await self._reason(device)})"
                await asyncio.sleep(POLL_S)
            return "rolled back"
        except HostError as error:
            return f"the rollback failed too: {error}"

    async def _unshadow(self, profile: str, file: str) -> None:
        """Drop the copy in /run that hides a profile's file on disk."""
        copies = _copies(profile, file)
        _remove(copies)
        if copies:
            await self._call(SETTINGS_PATH, SETTINGS, "LoadConnections", "as", [*copies, file])

    async def _path(self, profile: str) -> str:
        (path,) = await self._call(SETTINGS_PATH, SETTINGS, "GetConnectionByUuid", "s", profile)
        return str(path)

    async def _device(self, link: str) -> str:
        (device,) = await self._call(NM_PATH, NM, "GetDeviceByIpIface", "s", link)
        return str(device)

    async def _owner(self) -> str:
        (owner,) = await self._bus.call(
            "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetNameOwner", "s", (NM,)
        )
        return str(owner)

    async def _call(
        self, path: str, interface: str, member: str, signature: str = "", *body: Any, unwrap: bool = True
    ) -> list[Any]:
        return await self._bus.call(NM, path, interface, member, signature, body, start=False, unwrap=unwrap)


def _copies(profile: str, file: str) -> list[str]:
    """Return the files in /run that hide a profile's own: what an update in memory leaves, even if it dies."""
    copies = []
    for path in Path(RUNTIME).glob("*"):
        with contextlib.suppress(OSError, UnicodeError):
            if str(path) != file and f"uuid={profile}" in path.read_text().splitlines():
                copies.append(str(path))
    return copies


def _remove(paths: list[str]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            Path(path).unlink()


def _wanted(change: SetProfile, changed: Settings, before: Link) -> frozenset[str]:
    """Return the addresses the link must have afterwards: those given, and the static ones it had and is to keep."""
    given = frozenset((change.ipv4_addresses or ()) + (change.ipv6_addresses or ()))
    static = frozenset(addresses_of(changed.get("ipv4", {})) + addresses_of(changed.get("ipv6", {})))
    return given | (static & held(before))
