"""The kernel's news over netlink, without a library: that links or addresses changed, or a rule of a firewall."""

from __future__ import annotations

import socket
import struct
from typing import ClassVar

from nodeprep.errors import HostError

NETLINK_ROUTE, NETLINK_NETFILTER = 0, 12
RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR = 0x1, 0x10, 0x100
NFNLGRP_NFTABLES = 7
ENOBUFS = 105
LEGACY_TABLES = ("/proc/net/ip_tables_names", "/proc/net/ip6_tables_names")
POD_PREFIXES = ("cali", "cilium", "lxc", "veth", "eni", "azv", "gke", "vnet", "vif", "tap", "nodelocaldns")
"""What container networks call the node's end of a pod's veth."""


class _Channel:
    """A netlink socket of multicast groups. Its descriptor becomes readable on news."""

    def __init__(self, protocol: int, groups: int) -> None:
        """Start to listen. Raises HostError."""
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
            try:
                self._socket.setblocking(False)
                self._socket.bind((0, groups))
            except OSError:
                self._socket.close()
                raise
        except OSError as error:
            raise HostError(f"listen to netlink: {error}") from error

    def fileno(self) -> int:
        """Return the file descriptor to wait on, for `loop.add_reader(monitor.fileno(), …)`."""
        return self._socket.fileno()

    def close(self) -> None:
        """Stop to listen."""
        self._socket.close()

    def _next(self) -> bytes | None:
        """Return what comes next, without waiting; nothing where the kernel dropped something, None at the end."""
        try:
            return self._socket.recv(1 << 16)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno != ENOBUFS:
                raise HostError(f"listen to netlink: {error}") from error
            return b""


class LinkMonitor(_Channel):
    """Tells that links or their addresses changed (rtnetlink(7)).

    Which links exist and what they hold is then asked of `links`: the kernel may drop messages, never the news that it
    did.
    """

    MESSAGES: ClassVar = {16: "newlink", 17: "dellink", 20: "newaddr", 21: "deladdr"}

    def __init__(self) -> None:
        """Start to listen. Raises HostError."""
        super().__init__(NETLINK_ROUTE, RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR)

    def read(self) -> frozenset[tuple[str, int]]:
        """Return what changed since the last call, without waiting, as (what, index of the link).

        What is "newlink", "dellink", "newaddr" or "deladdr"; ("newlink", 0) means that messages were lost and anything
        may have changed. Raises HostError.
        """
        changes: set[tuple[str, int]] = set()
        while (data := self._next()) is not None:
            if not data:
                changes.add(("newlink", 0))
            while len(data) >= 24:  # struct nlmsghdr, then ifinfomsg or ifaddrmsg: the index is at 4 in both
                length, kind = struct.unpack_from("=IH", data)
                if kind in self.MESSAGES:
                    changes.add((self.MESSAGES[kind], struct.unpack_from("=i", data, 20)[0]))
                data = data[max(length + 3 & ~3, 16) :]
        return frozenset(changes)


class RulesetMonitor(_Channel):
    """Tells that somebody changed a rule of nftables, or of iptables on top of it (nft(8), MONITOR)."""

    def __init__(self) -> None:
        """Start to listen. Raises HostError."""
        super().__init__(NETLINK_NETFILTER, 1 << (NFNLGRP_NFTABLES - 1))

    def read(self) -> bool:
        """Return, without waiting, whether there was any change since the last call. Raises HostError."""
        has_changed = False
        while self._next() is not None:
            has_changed = True
        return has_changed


def has_legacy_tables() -> bool:
    """Whether rules of the former iptables are loaded, of whose change nobody is told."""
    for path in LEGACY_TABLES:
        try:
            with open(path, encoding="ascii") as file:
                if file.read().strip():
                    return True
        except FileNotFoundError:
            continue
        except OSError:
            return True  # nobody knows
    return False


def name_of(index: int) -> str:
    """Return what a link is called, "" where there is none of that index."""
    try:
        return socket.if_indextoname(index)
    except OSError:
        return ""
