"""A LAN: a bridge in a network namespace of its own, to which machines and clients are plugged (veth(4), bridge(8)).

Nothing leads out of it, and no link is ever in the host's own namespace. Frames are flooded to every port, multicast
included, as by an unmanaged switch; there is no spanning tree and no delay before a port forwards.
"""

import fcntl
import itertools
import secrets
import subprocess
import threading
from pathlib import Path
from types import TracebackType

from tests.lab.traces import NETNS, LabError, administer, unique

BRIDGE = "br0"
LINK = "eth0"


def random_mac() -> str:
    """Return a locally administered unicast MAC address."""
    return ":".join(f"{octet:02x}" for octet in (0x52, 0x54, *secrets.token_bytes(4)))


def _add_namespace(name: str) -> None:
    NETNS.mkdir(exist_ok=True)
    with (NETNS.parent / "nplab.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        administer("ip", "netns", "add", name)


class Lan:
    """A bridged segment, there between `with` and its end, or between `open` and `close`."""

    def __init__(self, label: str = "lan") -> None:
        """Name the segment; nothing is made yet."""
        self.namespace = unique(label)
        self._plugged: dict[str, str] = {}
        self._outer = itertools.count(1)
        self._lock = threading.Lock()
        self._servers: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "Lan":
        """Make the segment."""
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove it."""
        self.close()

    def open(self) -> None:
        """Make the namespace and its bridge."""
        _add_namespace(self.namespace)
        try:
            self._ip("link", "set", "lo", "up")
            options = ("stp_state", "0", "forward_delay", "0", "mcast_snooping", "0")
            self._ip("link", "add", BRIDGE, "type", "bridge", *options)
            self._ip("link", "set", BRIDGE, "addrgenmode", "none")
            self._ip("link", "set", BRIDGE, "up")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove every namespace of this segment, and with them every link; harmless when repeated."""
        while self._servers:
            server = self._servers.pop()
            server.terminate()
            server.wait(10.0)
        for name in tuple(self._plugged):
            self.unplug(name)
        if (NETNS / self.namespace).exists():
            administer("ip", "netns", "delete", self.namespace)

    def plug(self, name: str, mac: str | None = None) -> str:
        """Make a namespace whose eth0 (down, with that MAC, which others may bear too) is on the bridge.

        Returns the name of the namespace. LabError if that name is plugged already.
        """
        with self._lock:
            if name in self._plugged:
                raise LabError(f"{name} is plugged into {self.namespace} already")
            namespace = unique(name)
            self._plugged[name] = namespace
            port = f"v{next(self._outer)}"
        try:
            _add_namespace(namespace)
            peer = ("peer", "name", LINK, "netns", namespace, "address", mac or random_mac())
            administer("ip", "link", "add", port, "netns", self.namespace, "type", "veth", *peer)
            self._ip("link", "set", port, "addrgenmode", "none", "master", BRIDGE, "up")
        except BaseException:
            self.unplug(name)
            raise
        return namespace

    def plug_second(self, name: str, link: str, mac: str | None = None) -> None:
        """Give a plugged machine another link (down) on the bridge; it goes with the machine's namespace."""
        port = f"v{next(self._outer)}"
        peer = ("peer", "name", link, "netns", self._plugged[name], "address", mac or random_mac())
        administer("ip", "link", "add", port, "netns", self.namespace, "type", "veth", *peer)
        self._ip("link", "set", port, "addrgenmode", "none", "master", BRIDGE, "up")

    def unplug(self, name: str) -> None:
        """Remove what `plug` made, addresses, firewall and all; harmless when repeated."""
        with self._lock:
            namespace = self._plugged.pop(name, None)
        if namespace is None or not (NETNS / namespace).exists():
            return
        # The namespace itself lives on as long as a socket in it does; the link must not.
        subprocess.run(("ip", "-n", namespace, "link", "delete", LINK), capture_output=True, timeout=10.0, check=False)
        administer("ip", "netns", "delete", namespace)

    def carrier(self, name: str, *, present: bool) -> None:
        """Pull the cable of a plugged machine at the switch, or put it back."""
        self.run(name, "ip", "link", "set", LINK, "up" if present else "down")

    def pull(self, name: str, *, back: bool = False) -> None:
        """Pull the cable of a plugged machine out of the switch, so that its link has no carrier, or put it back."""
        self._ip("link", "set", self._port(name), "up" if back else "down")

    def client(self, address: str = "10.77.0.2/24", name: str = "client", mac: str | None = None) -> str:
        """Plug a plain client with that address, for tests that talk to the machines; returns its namespace."""
        namespace = self.plug(name, mac)
        self.run(name, "ip", "link", "set", "lo", "up")
        self.run(name, "ip", "address", "add", address, "dev", LINK)
        self.run(name, "ip", "link", "set", LINK, "up")
        return namespace

    def join(self, other: "Lan", address: str, others: str, name: str = "router") -> str:
        """Plug a router into this segment and another one, with an address on each; no broadcast passes it.

        Returns its namespace, which goes with this segment.
        """
        namespace = self.client(address, name)
        port = f"v{next(other._outer)}"
        peer = ("peer", "name", "eth1", "netns", namespace, "address", random_mac())
        administer("ip", "link", "add", port, "netns", other.namespace, "type", "veth", *peer)
        other._ip("link", "set", port, "addrgenmode", "none", "master", BRIDGE, "up")
        self.run(name, "ip", "address", "add", others, "dev", "eth1")
        self.run(name, "ip", "link", "set", "eth1", "up")
        self.run(name, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        return namespace

    def serve_leases(self, directory: Path, address: str = "10.77.0.1/24", name: str = "server") -> Path:
        """Plug a client with that address that is a DHCP server and a gateway (dnsmasq(8)); returns its lease file.

        The server dies with this process. It asks for an address by ICMP before it offers it, as servers do.
        """
        namespace = self.client(address, name)
        leases = directory / f"{name}.leases"
        network = address.rpartition(".")[0]
        options = (
            *("--keep-in-foreground", "--conf-file=/dev/null", "--port=0", f"--interface={LINK}", "--bind-interfaces"),
            *(f"--dhcp-range={network}.200,{network}.240,255.255.255.0,10m", "--dhcp-authoritative", "--log-dhcp"),
            *(f"--dhcp-leasefile={leases}", f"--log-facility={directory / name}.log", "--user=root", "--pid-file="),
        )
        command = ("ip", "netns", "exec", namespace, "setpriv", "--pdeathsig", "KILL", "dnsmasq", *options)
        self._servers.append(subprocess.Popen(command, stdin=subprocess.DEVNULL))
        return leases

    def run(self, name: str, *argv: str, check: bool = True, timeout: float = 30.0) -> subprocess.CompletedProcess[str]:
        """Run a program of the host in the namespace of a plugged machine or client."""
        command = ("ip", "netns", "exec", self._plugged[name], *argv)
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
        if check and done.returncode:
            raise LabError(f"{' '.join(argv)} on {name}: exit {done.returncode}: {done.stderr}{done.stdout}")
        return done

    def loss(self, percent: int) -> None:
        """Have the bridge drop that share of the frames it forwards, for each receiver by itself; 0 ends it."""
        if not 0 <= percent <= 100:
            raise ValueError(f"{percent} is no percentage")
        rule = "" if percent == 0 else "drop" if percent == 100 else f"numgen random mod 100 < {percent} drop"
        self._bridge_rules(f"chain forward {{ type filter hook forward priority 0; policy accept; {rule}\n}}")

    def filter(self, *ports: str) -> None:
        """Have the bridge drop what is for those ports (2380/tcp), as a security group would; none ends it."""
        rules = "\n".join(f"{each.split('/')[1]} dport {each.split('/')[0]} drop" for each in ports)
        self._bridge_rules(f"chain forward {{ type filter hook forward priority 0; policy accept; {rules}\n}}")

    def part(self, *names: str) -> None:
        """Split the segment: those machines hear each other, the others hear each other; none named heals it."""
        ports = [f'"{self._port(name)}"' for name in names]
        if not ports:
            self.loss(0)
            return
        side = f"{{ {', '.join(ports)} }}"
        rules = f"iifname {side} oifname != {side} drop\n iifname != {side} oifname {side} drop"
        self._bridge_rules(f"chain forward {{ type filter hook forward priority 0; policy accept; {rules}\n}}")

    def _port(self, name: str) -> str:
        index = self.run(name, "cat", f"/sys/class/net/{LINK}/iflink").stdout.strip()
        for line in self._ip("-o", "link", "show").splitlines():
            number, port = line.split(": ")[:2]
            if number == index:
                return port.split("@")[0]
        raise LabError(f"{name} has no port on {self.namespace}")

    def _bridge_rules(self, chain: str) -> None:
        ruleset = f"table bridge lab\ndelete table bridge lab\ntable bridge lab {{\n{chain}\n}}\n"
        administer("ip", "netns", "exec", self.namespace, "nft", "-f", "-", standard_input=ruleset)

    def _ip(self, *argv: str) -> str:
        return administer("ip", "-n", self.namespace, *argv)


def namespace_path(namespace: str) -> Path:
    """Return where a named network namespace is mounted."""
    return NETNS / namespace
