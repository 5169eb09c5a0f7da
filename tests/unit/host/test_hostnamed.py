"""A hostname counts as set when hostnamed and the kernel both say it."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from nodeprep.errors import HostError
from nodeprep.host import hostnamed
from nodeprep.host.bus import Bus, BusError


class Hostnamed(Bus):
    """A hostnamed that takes a name, unless it is deaf."""

    def __init__(self, *, deaf: bool = False, refuses: bool = False) -> None:
        super().__init__()
        self.deaf, self.refuses = deaf, refuses
        self.name = "template"
        self.calls: list[tuple[str, Any]] = []

    async def call(self, *arguments: Any, **_: Any) -> list[Any]:
        destination, _path, _interface, member, _signature, body = (*arguments, "", ())[:6]
        self.calls.append((member, tuple(body)))
        if self.refuses:
            raise BusError(destination, "org.freedesktop.DBus.Error.AccessDenied", "no")
        if member == "Get":
            return [self.name]
        if member == "GetMachineId":
            return [f"id of {destination}"]
        if not self.deaf:
            self.name = body[0]
        return []


def test_both_names_are_set_and_nobody_is_asked_for_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    bus = Hostnamed()
    monkeypatch.setattr(socket, "gethostname", lambda: "worker-1")

    asyncio.run(hostnamed.set_hostname(bus, "worker-1"))

    assert bus.calls[:2] == [("SetStaticHostname", ("worker-1", False)), ("SetHostname", ("worker-1", False))]


def test_a_name_that_did_not_take_is_an_error() -> None:
    with pytest.raises(HostError, match="'template' after"):
        asyncio.run(hostnamed.set_hostname(Hostnamed(deaf=True), "worker-1"))


def test_a_kernel_with_another_name_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "leased")

    with pytest.raises(HostError, match="'leased'"):
        asyncio.run(hostnamed.set_hostname(Hostnamed(), "worker-1"))


def test_a_refusal_bears_its_name() -> None:
    with pytest.raises(HostError, match="AccessDenied"):
        asyncio.run(hostnamed.set_hostname(Hostnamed(refuses=True), "worker-1"))


def test_every_service_can_be_asked_for_the_machine_id_it_holds() -> None:
    assert asyncio.run(hostnamed.machine_id(Hostnamed())) == "id of org.freedesktop.hostname1"
    assert asyncio.run(hostnamed.machine_id(Hostnamed(), hostnamed.SYSTEMD)) == "id of org.freedesktop.systemd1"
