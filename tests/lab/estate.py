"""An estate: segments that hear nothing of each other, each behind its own gateway, and an etcd that all can reach.

Every segment has the same addresses, as behind the NAT of a hypervisor, so that even perfect twins, of one MAC and one
address, can live there at the same time: only what they say to etcd can tell them apart.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from tests.lab.clone import Clone
from tests.lab.etcd import EtcdServer
from tests.lab.golden import ADDRESS, PROFILE, worst_case
from tests.lab.lan import BRIDGE, Lan
from tests.lab.traces import administer

GATEWAY = "10.77.0.1"
ETCD = "10.99.0.1"
ROUTED = PROFILE.replace(f"address1={ADDRESS}", f"address1={ADDRESS},{GATEWAY}")
"""The template's profile, with its way to etcd."""
NUMBERED = """\
[node]
roles = ["worker"]
hostname = "{role}-{index}"

[address]
on_conflict = "pool"
pool = ["10.77.0.100-10.77.0.249"]
"""
REGISTRY = f'[registry]\netcd = ["http://{ETCD}:2379"]'
UPLINK = "uplink"
_NAT = f"""\
table ip lab {{
 chain out {{
  type nat hook postrouting priority 100
  oifname "{UPLINK}" masquerade
 }}
}}
"""


class Estate:
    """A backbone with an etcd on it; `segment` adds a segment."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._backbone = Lan("backbone")
        self._stack = ExitStack()
        self._folder = folder
        self._segments = 0

    def __enter__(self) -> Estate:
        with ExitStack() as stack:
            stack.enter_context(self._backbone)
            namespace = self._backbone.client(f"{ETCD}/16", "etcd")
            self.etcd = stack.enter_context(EtcdServer(self._folder, ETCD, namespace=namespace))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def segment(self) -> Lan:
        """Return a new segment, whose switch is its gateway as well."""
        self._segments += 1
        lan = self._stack.enter_context(Lan(f"segment-{self._segments}"))
        inside, outer = ("ip", "-n", lan.namespace), ("ip", "-n", self._backbone.namespace)
        port = f"s{self._segments}"
        peer = ("peer", "name", UPLINK, "netns", lan.namespace)
        administer("ip", "link", "add", port, "netns", self._backbone.namespace, "type", "veth", *peer)
        administer(*outer, "link", "set", port, "master", BRIDGE, "up")
        high, low = divmod(self._segments, 250)
        administer(*inside, "address", "add", f"10.99.{high + 1}.{low + 1}/16", "dev", UPLINK)
        administer(*inside, "link", "set", UPLINK, "up")
        administer(*inside, "address", "add", f"{GATEWAY}/24", "dev", BRIDGE)
        enter = ("ip", "netns", "exec", lan.namespace)
        administer(*enter, "sysctl", "-q", "net.ipv4.ip_forward=1")
        administer(*enter, "nft", "-f", "-", standard_input=_NAT)
        return lan


def furnish(root: Path) -> None:
    """Furnish the worst common case with numbered names; the template has not seen a registry."""
    worst_case(root)
    (root / "etc/nodeprep/nodeprep.toml").write_text(NUMBERED)


def register(clone: Clone, *more: str, wait_s: int = 30) -> None:
    """Configure a machine for the estate's etcd."""
    clone.write("/etc/nodeprep/nodeprep.toml.d/registry.toml", "\n".join((REGISTRY, f"wait_s = {wait_s}", *more, "")))
