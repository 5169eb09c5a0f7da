"""The system bus: calls and properties of D-Bus services, each answered in bounded time.

This is the only door to dbus_next (dbus_fast, its living fork, fits the same door). Messages are built by hand and
nothing is introspected, because introspection fails on property names with hyphens. Whatever goes wrong, be it the
socket, the authentication, the daemon or the service, is a HostError that carries the D-Bus error name.

Source: the D-Bus Specification, https://dbus.freedesktop.org/doc/dbus-specification.html.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from nodeprep.errors import HostError
from nodeprep.host.fronts import load_without_fronts
from nodeprep.patience import within

load_without_fronts("dbus_next.aio.message_bus")
from dbus_next.aio.message_bus import MessageBus  # noqa: E402 (found loaded)
from dbus_next.constants import BusType, MessageFlag, MessageType  # noqa: E402
from dbus_next.message import Message  # noqa: E402
from dbus_next.signature import Variant  # noqa: E402

__all__ = ["Bus", "BusError", "Variant", "plain"]

CONNECT_TIMEOUT_S = 5.0
CALL_TIMEOUT_S = 10.0

DAEMON = "org.freedesktop.DBus"
DAEMON_PATH = "/org/freedesktop/DBus"
PROPERTIES = "org.freedesktop.DBus.Properties"


class BusError(HostError):
    """A call that the bus or the service refused."""

    def __init__(self, where: str, name: str, text: str) -> None:
        super().__init__(f"{where}: {name}: {text}" if text else f"{where}: {name}")
        self.name = name
        """The D-Bus error name, or one under org.freedesktop.DBus.Error where the bus itself failed."""


def plain(value: Any) -> Any:
    """Return a value from the bus with every Variant in it, however deep, replaced by what it holds."""
    if isinstance(value, Variant):
        return plain(value.value)
    if isinstance(value, Mapping):
        return {plain(key): plain(held) for key, held in value.items()}
    if isinstance(value, list):
        return [plain(held) for held in value]
    return value


class _GuardedBus(MessageBus):  # type: ignore[misc]  # the library has no types to speak of
    """A connection for which an end of file during the authentication is an error.

    dbus_next 0.2.3 would go on reading it for ever, at full speed.
    """

    async def _auth_readline(self) -> str:
        line = b""
        while not line.endswith(b"\r\n"):
            piece = await asyncio.get_running_loop().sock_recv(self._sock, 2)
            if not piece:
                raise EOFError("the bus closed the connection during authentication")
            line += piece
        return line[:-2].decode()


class Bus:
    """A connection to the system bus; an asynchronous context manager.

    Build and use it inside one running event loop.
    """

    def __init__(self, address: str | None = None) -> None:
        """Prepare a connection to the system bus, or to another at address (in the form of a D-Bus server address)."""
        self._options: dict[str, Any] = {"bus_address": address, "bus_type": BusType.SYSTEM}
        self._bus: Any = None
        self._watch: asyncio.Task[None] | None = None
        self.disconnected = asyncio.Event()
        """Set once the connection is gone, whoever ended it."""

    async def __aenter__(self) -> Bus:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def connect(self, timeout_s: float = CONNECT_TIMEOUT_S) -> None:
        """Connect and authenticate within timeout_s seconds. Raises HostError."""
        try:
            self._bus = _GuardedBus(**self._options)
            await within(self._bus.connect(), timeout_s)
        except asyncio.TimeoutError:
            _abandon(self._bus)
            raise HostError(f"system bus: no answer within {timeout_s:g} s") from None
        except asyncio.CancelledError:
            _abandon(self._bus)
            raise
        except Exception as error:  # the library lets every kind through
            _abandon(self._bus)
            raise HostError(f"system bus: {str(error) or type(error).__name__}") from error
        self.disconnected.clear()
        self._watch = asyncio.ensure_future(self._wait_for_end(self._bus))

    async def close(self) -> None:
        """Disconnect; calls that are under way raise HostError."""
        if self._bus is None:
            return
        _abandon(self._bus)
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait({self._watch})
        self.disconnected.set()
        self._bus = None

    async def call(
        self,
        destination: str,
        path: str,
        interface: str,
        member: str,
        signature: str = "",
        body: Sequence[Any] = (),
        timeout_s: float = CALL_TIMEOUT_S,
        *,
        start: bool = True,
        unwrap: bool = True,
    ) -> list[Any]:
        """Call a method and return what it returns, one item per out argument.

        start: whether the bus may start the service. unwrap: whether Variants are replaced by what they hold.
        Raises BusError when the answer is an error, or does not come within timeout_s seconds.
        """
        where = f"{destination} {interface}.{member}"
        bus, watch = self._bus, self._watch
        if bus is None or watch is None or self.disconnected.is_set():
            raise BusError(where, f"{DAEMON}.Error.Disconnected", "not connected to the system bus")
        try:
            message = Message(
                destination=destination,
                path=path,
                interface=interface,
                member=member,
                signature=signature,
                body=list(body),
                flags=MessageFlag.NONE if start else MessageFlag.NO_AUTOSTART,
            )
            reply = asyncio.ensure_future(bus.call(message))
            try:
                await asyncio.wait({reply, watch}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            finally:
                if not reply.done():
                    reply.cancel()
            if not reply.done() and watch.done():
                raise BusError(where, f"{DAEMON}.Error.Disconnected", "the system bus went away")
            if not reply.done():
                raise BusError(where, f"{DAEMON}.Error.Timeout", f"no answer within {timeout_s:g} s")
            answer = reply.result()
        except HostError:
            raise
        except Exception as error:  # a body that does not fit its signature, or a socket that died
            raise BusError(where, f"{DAEMON}.Error.Failed", str(error) or type(error).__name__) from error
        if answer is None:
            raise BusError(where, f"{DAEMON}.Error.Disconnected", "the system bus went away")
        if answer.message_type is MessageType.ERROR:
            text = str(answer.body[0]) if answer.body else ""
            raise BusError(where, str(answer.error_name), text)
        return [plain(item) for item in answer.body] if unwrap else list(answer.body)

    async def get_property(
        self,
        destination: str,
        path: str,
        interface: str,
        name: str,
        timeout_s: float = CALL_TIMEOUT_S,
        *,
        start: bool = True,
    ) -> Any:
        """Return a property, unwrapped. Raises HostError."""
        body = (interface, name)
        (value,) = await self.call(destination, path, PROPERTIES, "Get", "ss", body, timeout_s, start=start)
        return value

    async def get_all(self, destination: str, path: str, interface: str, *, start: bool = True) -> dict[str, Any]:
        """Return every property of an interface, unwrapped. Raises HostError."""
        (values,) = await self.call(destination, path, PROPERTIES, "GetAll", "s", (interface,), start=start)
        return dict(values)

    async def set_property(
        self, destination: str, path: str, interface: str, name: str, signature: str, value: Any
    ) -> None:
        """Set a property, whose type is the given D-Bus signature. Raises HostError."""
        body = (interface, name, Variant(signature, value))
        await self.call(destination, path, PROPERTIES, "Set", "ssv", body)

    async def has_owner(self, name: str) -> bool:
        """Whether somebody owns a name on the bus; asking starts nothing. Raises HostError."""
        (owned,) = await self.call(DAEMON, DAEMON_PATH, DAEMON, "NameHasOwner", "s", (name,))
        return bool(owned)

    async def _wait_for_end(self, bus: Any) -> None:
        try:
            with contextlib.suppress(Exception):
                await bus.wait_for_disconnect()
        finally:
            self.disconnected.set()


def _abandon(bus: Any) -> None:
    """Close a connection in whatever state it is; neither library closes its socket in all of them."""
    sock, stream = getattr(bus, "_sock", None), getattr(bus, "_stream", None)
    if sock is None:
        return
    with contextlib.suppress(Exception):
        asyncio.get_running_loop().remove_reader(sock.fileno())
        asyncio.get_running_loop().remove_writer(sock.fileno())
    with contextlib.suppress(Exception):
        bus._user_disconnect = True
        bus._finalize(None)
    with contextlib.suppress(Exception):
        if stream is not None:
            stream.close()
    with contextlib.suppress(Exception):
        sock.close()
