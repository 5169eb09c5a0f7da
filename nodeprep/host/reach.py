"""Reach: whether a port of another machine answers us, tried as any program would (connect(2), udp(7))."""

from __future__ import annotations

import asyncio
import errno
import socket

from nodeprep.patience import within
from nodeprep.peers.examination import Result

TRY_S = 1.6
"""Long enough for a second SYN, which Linux sends after a second (RFC 6298, 2.1)."""
DATAGRAMS = 2
GREETING = b"nodeprep doctor\n"
_RESULTS = {
    errno.ECONNREFUSED: Result.REFUSED,
    errno.EHOSTUNREACH: Result.PROHIBITED,
    errno.EACCES: Result.PROHIBITED,  # ICMPv6 "administratively prohibited" (RFC 4443, 3.1)
    errno.ENETUNREACH: Result.FAILED,
    errno.EADDRNOTAVAIL: Result.FAILED,
}


async def reach(protocol: str, address: str, port: int) -> Result:
    """Return what came of trying a TCP or UDP port; takes TRY_S at most."""
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    try:
        with socket.socket(_family(address), kind | socket.SOCK_NONBLOCK) as opened:
            attempt = _connect if protocol == "tcp" else _exchange
            await within(attempt(opened, (address, port)), TRY_S)
    except asyncio.TimeoutError:
        return Result.SILENT
    except OSError as error:
        return _RESULTS.get(error.errno or 0, Result.FAILED)
    return Result.ANSWERED


def source_address(address: str) -> str:
    """Return our own address from which that one is reached, or "" where no way leads there. Sends nothing."""
    try:
        with socket.socket(_family(address), socket.SOCK_DGRAM) as opened:
            opened.connect((address, 9))
            return str(opened.getsockname()[0])
    except OSError:
        return ""


def found(name: str, family_of: str) -> str:
    """Return the first address of a name, of the family of another address, or "" where there is none. May block."""
    try:
        listed = socket.getaddrinfo(name, None, _family(family_of), socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ""
    return str(listed[0][4][0]) if listed else ""


async def _connect(opened: socket.socket, to: tuple[str, int]) -> None:
    await asyncio.get_running_loop().sock_connect(opened, to)


async def _exchange(opened: socket.socket, to: tuple[str, int]) -> None:
    loop = asyncio.get_running_loop()
    opened.connect(to)
    answer = loop.create_task(loop.sock_recv(opened, 1))
    try:
        for _ in range(DATAGRAMS):
            opened.send(GREETING)
            done, _ = await asyncio.wait({answer}, timeout=TRY_S / DATAGRAMS)
            if done:
                answer.result()
                return
        raise asyncio.TimeoutError
    finally:
        answer.cancel()


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
