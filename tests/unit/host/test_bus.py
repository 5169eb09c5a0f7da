"""The bus answers in bounded time, whatever is at the other end of the socket."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nodeprep.errors import HostError
from nodeprep.host.bus import DAEMON, DAEMON_PATH, PROPERTIES, Bus, BusError, Variant, plain
from nodeprep.patience import within

needs_daemon = pytest.mark.skipif(shutil.which("dbus-daemon") is None, reason="dbus-daemon is not installed")

CONFIGURATION = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><listen>unix:path={socket}</listen><auth>EXTERNAL</auth><policy context="default">
<allow send_destination="*" eavesdrop="true"/><allow receive_sender="*"/><allow own="*"/></policy></busconfig>"""


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    (tmp_path / "bus.conf").write_text(CONFIGURATION.format(socket=tmp_path / "bus"))
    process = subprocess.Popen(["dbus-daemon", f"--config-file={tmp_path / 'bus.conf'}", "--nofork", "--nopidfile"])
    deadline = time.monotonic() + 5
    with socket.socket(socket.AF_UNIX) as probe:
        while probe.connect_ex(str(tmp_path / "bus")) and time.monotonic() < deadline:
            time.sleep(0.01)
    yield f"unix:path={tmp_path / 'bus'}", process
    process.kill()
    process.wait()


def error_of(awaitable: Callable[[], Awaitable[Any]], within_s: float) -> HostError:
    started = time.monotonic()
    with pytest.raises(HostError) as caught:
        asyncio.run(within(awaitable(), 10))
    assert time.monotonic() - started < within_s
    return caught.value


def connecting_to(tmp_path: Path, serve: Callable[[Any, Any], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    async def connect() -> None:
        server = await asyncio.start_unix_server(serve, str(tmp_path / "bus"))
        try:
            await Bus(f"unix:path={tmp_path / 'bus'}").connect(timeout_s=0.3)
        finally:
            server.close()

    return connect


def test_no_bus_is_an_error(tmp_path: Path) -> None:
    error_of(Bus(f"unix:path={tmp_path / 'none'}").connect, within_s=1)


def test_a_bus_that_hangs_up_during_authentication_is_an_error_at_once(tmp_path: Path) -> None:
    async def hang_up(reader: Any, writer: Any) -> None:
        await reader.read(1)
        writer.close()

    error_of(connecting_to(tmp_path, hang_up), within_s=1)


def test_a_bus_that_says_nothing_is_an_error_in_bounded_time(tmp_path: Path) -> None:
    async def say_nothing(reader: Any, writer: Any) -> None:
        await asyncio.sleep(5)

    assert "0.3 s" in str(error_of(connecting_to(tmp_path, say_nothing), within_s=3))


def test_a_call_without_a_connection_is_an_error() -> None:
    async def call() -> None:
        await Bus().call(DAEMON, DAEMON_PATH, DAEMON, "GetId")

    assert "not connected" in str(error_of(call, within_s=1))


@needs_daemon
def test_calls_and_properties_come_back_plain(daemon: tuple[str, Any]) -> None:
    async def ask() -> tuple[list[Any], Any, dict[str, Any], list[Any], bool]:
        async with Bus(daemon[0]) as bus:
            return (
                await bus.call(DAEMON, DAEMON_PATH, DAEMON, "GetId"),
                await bus.get_property(DAEMON, DAEMON_PATH, DAEMON, "Features"),
                await bus.get_all(DAEMON, DAEMON_PATH, DAEMON),
                await bus.call(DAEMON, DAEMON_PATH, PROPERTIES, "Get", "ss", (DAEMON, "Features"), unwrap=False),
                await bus.has_owner("com.example.Nobody"),
            )

    (identity,), features, everything, wrapped, owned = asyncio.run(ask())

    assert len(identity) == 32
    assert isinstance(features, list)
    assert everything["Features"] == features
    assert isinstance(wrapped[0], Variant)
    assert not owned


@needs_daemon
@pytest.mark.parametrize(
    ("destination", "signature", "body", "name"),
    [
        (DAEMON, "", (), "org.freedesktop.DBus.Error.UnknownMethod"),
        ("com.example.Nobody", "", (), "org.freedesktop.DBus.Error.ServiceUnknown"),
        (DAEMON, "u", ("text",), "org.freedesktop.DBus.Error.Failed"),
    ],
)
def test_an_error_bears_its_name(
    daemon: tuple[str, Any], destination: str, signature: str, body: tuple[Any, ...], name: str
) -> None:
    async def ask() -> None:
        async with Bus(daemon[0]) as bus:
            await bus.call(destination, DAEMON_PATH, DAEMON, "NoSuchThing", signature, body)

    error = error_of(ask, within_s=2)

    assert isinstance(error, BusError) and error.name == name
    assert name in str(error)


@needs_daemon
def test_a_call_ends_when_the_bus_dies(daemon: tuple[str, subprocess.Popen[bytes]]) -> None:
    address, process = daemon

    async def ask() -> None:
        async with Bus(address) as bus:
            process.send_signal(signal.SIGSTOP)
            asyncio.get_running_loop().call_later(0.2, process.kill)
            try:
                await bus.call(DAEMON, DAEMON_PATH, DAEMON, "GetId")
            finally:
                assert bus.disconnected.is_set()

    error_of(ask, within_s=3)


@needs_daemon
def test_a_call_that_nobody_answers_ends_in_bounded_time(daemon: tuple[str, subprocess.Popen[bytes]]) -> None:
    address, process = daemon

    async def ask() -> None:
        async with Bus(address) as bus:
            process.send_signal(signal.SIGSTOP)
            await bus.call(DAEMON, DAEMON_PATH, DAEMON, "GetId", timeout_s=0.3)

    error = error_of(ask, within_s=3)

    assert isinstance(error, BusError) and error.name.endswith(".Timeout")


@needs_daemon
def test_a_closed_bus_leaves_no_descriptor_and_can_be_connected_again(daemon: tuple[str, Any]) -> None:
    async def cycle() -> set[str]:
        bus = Bus(daemon[0])
        await bus.connect()
        await bus.close()
        before = descriptors()
        for _ in range(5):
            await bus.connect()
            await bus.call(DAEMON, DAEMON_PATH, DAEMON, "GetId")
            await bus.close()
        return descriptors() - before

    assert asyncio.run(cycle()) == set()


def descriptors() -> set[str]:
    """Return what this process has open. Other tests' garbage may go meanwhile: who counts, counts that too."""
    found = set()
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one that lists them
            found.add(f"{path.name} {path.readlink()}")
    return found


def test_plain_unwraps_however_deep() -> None:
    wrapped = {"a": Variant("a{sv}", {"b": Variant("as", ["c"])}), "d": [Variant("u", 1)], "e": b"\x01"}

    assert plain(wrapped) == {"a": {"b": ["c"]}, "d": [1], "e": b"\x01"}
