"""The monitor of links: news from the kernel that links or addresses changed (rtnetlink(7)), without a library."""

from __future__ import annotations

import socket
import struct
from types import TracebackType
from typing import ClassVar

from nodeprep.errors import HostError


class Monitor:
    """Tells that links or their addresses changed; a context manager over one netlink socket.

    Its file descriptor becomes readable on a change, for `loop.add_reader(monitor.fileno(), …)`. Which links exist and
    what they hold is then asked of `links`: the kernel may drop messages, never the news that it did.
    """

    RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR = 0x1, 0x10, 0x100
    MESSAGES: ClassVar = {16: "newlink", 17: "dellink", 20: "newaddr", 21: "deladdr"}

    def __init__(self) -> None:
        """Start to listen. Raises HostError."""
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
            try:
                self._socket.setblocking(False)
                self._socket.bind((0, self.RTMGRP_LINK | self.RTMGRP_IPV4_IFADDR | self.RTMGRP_IPV6_IFADDR))
            except OSError:
                self._socket.close()
                raise
        except OSError as error:
            raise HostError(f"listen to netlink: {error}") from error

    def __enter__(self) -> Monitor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def fileno(self) -> int:
        """Return the file descriptor to wait on."""
        return self._socket.fileno()

    def close(self) -> None:
        """Stop to listen."""
        self._socket.close()

    def read(self) -> frozenset[tuple[str, int]]:
        """Return what changed since the last call, without waiting, as (what, index of the link).

        What is "newlink", "dellink", "newaddr" or "deladdr"; ("newlink", 0) means that messages were lost and anything
        may have changed. Raises HostError.
        """
        changes: set[tuple[str, int]] = set()
        while True:
            try:
                data = self._socket.recv(1 << 16)
            except BlockingIOError:
                return frozenset(changes)
            except OSError as error:
                if error.errno != 105:  # ENOBUFS
                    raise HostError(f"listen to netlink: {error}") from error
                changes.add(("newlink", 0))
                continue
            while len(data) >= 24:  # struct nlmsghdr, then ifinfomsg or ifaddrmsg: the index is at 4 in both
                length, kind = struct.unpack_from("=IH", data)
                if kind in self.MESSAGES:
                    changes.add((self.MESSAGES[kind], struct.unpack_from("=i", data, 20)[0]))
                data = data[max(length + 3 & ~3, 16) :]
