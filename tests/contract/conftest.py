"""Two network namespaces joined by a veth pair: the machine ("inside") and the rest of the segment ("outside")."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count

import pytest

CLONE_NEWNET = 0x40000000
_serial = count()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "root: needs root, because it makes network namespaces")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("root") and os.geteuid() != 0:
        pytest.skip("needs root")


@dataclass
class Namespace:
    name: str
    ipv4: str
    ipv6: str
    sockets: list[socket.socket] = field(default_factory=list)

    @property
    def prefix(self) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self.name)

    def run(self, *argv: str, stdin: str | None = None) -> str:
        done = subprocess.run(
            (*self.prefix, *argv), input=stdin, capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode == 0, f"{argv}: {done.stderr}"
        return done.stdout

    def make_socket(
        self, kind: socket.SocketKind, family: socket.AddressFamily = socket.AF_INET6, protocol: int = 0
    ) -> socket.socket:
        """Return a socket of this namespace: a socket stays in the one that its maker's thread was in."""
        made: list[socket.socket] = []

        def make() -> None:
            libc = ctypes.CDLL(None, use_errno=True)
            with open(f"/run/netns/{self.name}") as handle:
                assert libc.setns(handle.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
            made.append(socket.socket(family, kind, protocol))

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        made[0].settimeout(0.5)
        self.sockets.append(made[0])
        return made[0]

    def listen(self, port: int) -> socket.socket:
        """Return a TCP socket that answers on every IPv4 and IPv6 address."""
        listener = self.make_socket(socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("::", port))
        listener.listen()
        return listener

    def bind_udp(self, port: int) -> socket.socket:
        receiver = self.make_socket(socket.SOCK_DGRAM)
        receiver.bind(("::", port))
        return receiver

    def connects(self, address: str, port: int, source: str | None = None) -> bool:
        """Say whether a TCP connection to this port comes about. A refusal is an answer that got through: an error."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        client = self.make_socket(socket.SOCK_STREAM, family)
        if source:
            client.bind((source, 0))
        try:
            client.connect((address, port))
        except TimeoutError:
            return False
        finally:
            client.close()
        return True

    def reaches(self, receiver: socket.socket, address: str, source_port: int = 0) -> bool:
        """Say whether a datagram gets to a socket that `bind_udp` returned. A link-local address goes out at v0."""
        client = self.make_socket(socket.SOCK_DGRAM, socket.AF_INET6 if ":" in address else socket.AF_INET)
        if source_port:
            client.bind(("", source_port))
        port = receiver.getsockname()[1]
        scope = (0, int(self.run("cat", "/sys/class/net/v0/ifindex"))) if address.startswith("fe80:") else ()
        client.sendto(b"probe", (address, port, *scope))
        try:
            return receiver.recv(16) == b"probe"
        except TimeoutError:
            return False
        finally:
            client.close()

    def pings(self, address: str) -> bool:
        """Say whether an ICMP or ICMPv6 echo is answered (no ping(8) here on every machine)."""
        ipv6 = ":" in address
        family, protocol = (socket.AF_INET6, 58) if ipv6 else (socket.AF_INET, 1)
        # Type, code, checksum (the kernel's for ICMPv6), identifier 0x1234 and sequence 1.
        request = bytes.fromhex("8000 0000 1234 0001") if ipv6 else bytes.fromhex("0800 e5ca 1234 0001")
        script = (
            f"import socket; s = socket.socket({int(family)}, socket.SOCK_RAW, {protocol}); s.settimeout(1);"
            f" s.sendto({request!r}, ({address!r}, 0)); wanted = {129 if ipv6 else 0}\n"
            f"while s.recv(64)[{0 if ipv6 else 20}] != wanted: pass"
        )
        done = subprocess.run(
            (*self.prefix, "python3", "-c", script), capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode == 0 or "TimeoutError" in done.stderr, done.stderr
        return done.returncode == 0


@dataclass
class Segment:
    inside: Namespace
    outside: Namespace


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "the two namespaces do not reach each other"


@pytest.fixture(scope="session", autouse=True)
def lock_of_our_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Have iptables lock a file of this worker's: the machine's is for all namespaces, and not every caller waits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XTABLES_LOCKFILE", str(tmp_path_factory.mktemp("xtables") / "lock"))
        yield


@pytest.fixture
def segment(quiet_segment: Segment) -> Segment:
    """Both namespaces, when packets have begun to pass: the kernel takes its time over a new link's IPv6."""
    wait_for(lambda: quiet_segment.outside.pings(quiet_segment.inside.ipv6))
    return quiet_segment


@pytest.fixture
def quiet_segment() -> Iterator[Segment]:
    tag = f"np{os.getpid()}-{next(_serial)}"
    inside = Namespace(f"{tag}-in", "10.77.0.1", "fd77::1")
    outside = Namespace(f"{tag}-out", "10.77.0.2", "fd77::2")
    try:
        for space in (inside, outside):
            subprocess.run(("ip", "netns", "add", space.name), check=True, timeout=30)
            space.run("ip", "link", "set", "lo", "up")
        inside.run("ip", "link", "add", "v0", "type", "veth", "peer", "name", "v0", "netns", outside.name)
        for space in (inside, outside):
            # Duplicate address detection keeps the link silent for its first seconds.
            space.run("sh", "-c", "echo 0 | tee /proc/sys/net/ipv6/conf/*/accept_dad")
            space.run("ip", "address", "add", f"{space.ipv4}/24", "dev", "v0")
            space.run("ip", "address", "add", f"{space.ipv6}/64", "dev", "v0", "nodad")
            space.run("ip", "link", "set", "v0", "up")
        yield Segment(inside, outside)
    finally:
        for space in (inside, outside):
            for each in space.sockets:
                each.close()
            subprocess.run(("ip", "netns", "delete", space.name), check=False, timeout=30, capture_output=True)
