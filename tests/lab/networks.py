"""Templates whose network is somebody else's than NetworkManager's, and what their links are told by whom."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.lab import platform
from tests.lab.clone import Clone
from tests.lab.expectations import ready
from tests.lab.golden import ADDRESS, MAC, Golden, golden_tree, worst_case
from tests.lab.tree import Release

KINDS = ("networkd", "netplan", "ifupdown")
GATEWAY = "10.77.0.1"
NETWORKMANAGER_PATH = "/etc/NetworkManager/system-connections/lan.nmconnection"
PATHS = {
    "networkd": "/etc/systemd/network/10-lan.network",
    "netplan": "/etc/netplan/50-lan.yaml",
    "ifupdown": "/etc/network/interfaces",
    "networkmanager": NETWORKMANAGER_PATH,
}
KEYS = {
    "networkd": f"networkd:{PATHS['networkd']}",
    "netplan": "netplan:lan",
    "ifupdown": "ifupdown:eth0",
}
# dhcpcd insists on writing to /proc/sys/net, which systemd-nspawn mounts read-only.
WRITABLE = "[Service]\nExecStartPre=mount -o remount,bind,rw /proc/sys\n"


def extra(release: Release) -> tuple[str, ...]:
    """Return the packages of the three kinds, with the DHCP client that ifupdown has in that release."""
    return ("netplan.io", "ifupdown", "isc-dhcp-client" if release is Release.BOOKWORM else "dhcpcd-base")


def pinned(kind: str, *, leased: bool) -> str:
    """Return a configuration of eth0 with the template's MAC pinned, and its address or a lease."""
    match kind:
        case "networkd":
            network = "DHCP=yes" if leased else f"Address={ADDRESS}\nGateway={GATEWAY}"
            return f"# the operator's\n[Match]\nName=eth0\n\n[Link]\nMACAddress={MAC}\n\n[Network]\n{network}\n"
        case "netplan":
            network = "dhcp4: true" if leased else f"addresses:\n        - {ADDRESS} # the operator's"
            route = "" if leased else f"\n      routes: [{{to: default, via: {GATEWAY}}}]"
            return (
                "network:\n  version: 2\n  ethernets:\n    lan: # the operator's\n      match:\n        name: eth0\n"
                f"      macaddress: {MAC}\n      {network}{route}\n"
            )
        case "ifupdown":
            network = "dhcp" if leased else f"static\n    address {ADDRESS}\n    gateway {GATEWAY}"
            return (
                "source /etc/network/interfaces.d/*\n\nauto lo\niface lo inet loopback\n\n# the operator's\nauto eth0\n"
                f"iface eth0 inet {network}\n    hwaddress ether {MAC}\n"
            )
        case _:
            method = "auto" if leased else f"manual\naddress1={ADDRESS},{GATEWAY}"
            return (
                "[connection]\nid=lan\nuuid=5f0c1c1e-7b0e-4c55-9c1f-6d1b6c3c9a11\ntype=ethernet\ninterface-name=eth0\n\n"
                f"[ethernet]\ncloned-mac-address={MAC}\n\n[ipv4]\nmethod={method}\n"
            )


def matched(kind: str) -> str:
    """Return a configuration that finds its link by the template's MAC and asks for a lease."""
    match kind:
        case "networkd":
            return f"[Match]\nMACAddress={MAC}\n\n[Network]\nDHCP=ipv4\n"
        case "netplan":
            return (
                "network:\n  version: 2\n  ethernets:\n    lan:\n      match:\n"
                f'        macaddress: "{MAC}" # the operator\'s\n      dhcp4: true\n'
            )
        case _:
            return (
                "[connection]\nid=lan\nuuid=5f0c1c1e-7b0e-4c55-9c1f-6d1b6c3c9a12\ntype=ethernet\n\n"
                f"[ethernet]\nmac-address={MAC}\n\n[ipv4]\nmethod=auto\n"
            )


def furnished(kind: str, text: str, also: Callable[[Path], None] = lambda root: None) -> Callable[[Path], None]:
    """Return what has a kind, and it alone, configure the network of a tree by that text."""

    def furnish(root: Path) -> None:
        worst_case(root)
        units = root / "etc/systemd/system"
        if kind != "networkmanager":
            for path in (*units.glob("*.wants/NetworkManager*"), *units.glob("dbus-org.freedesktop.nm*")):
                path.unlink()
        if kind in ("networkd", "netplan"):
            wants = units / "multi-user.target.wants/systemd-networkd.service"
            wants.symlink_to("/usr/lib/systemd/system/systemd-networkd.service")
        if kind == "ifupdown":
            drop_in = units / "networking.service.d/writable.conf"
            drop_in.parent.mkdir()
            drop_in.write_text(WRITABLE)
        file = root / PATHS[kind].lstrip("/")
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        file.chmod(0o600)
        if kind == "networkd":
            file.chmod(0o644)
        also(root)

    return furnish


def on_hardware(root: Path) -> None:
    """Present a platform of which the template's MAC is the permanent one."""
    platform.point_there(root)
    (root / platform.SYSFS.lstrip("/") / "class/net/eth0/address").write_text(f"{MAC}\n")


def template(
    release: Release,
    deb: Path,
    store: Path,
    kind: str,
    name: str,
    text: str,
    *,
    also: Callable[[Path], None] = lambda root: None,
    leases: bool = False,
    up: bool = True,
) -> Golden:
    """Return a template with that network that was used, with its lease if there was a server; up in the end."""

    def lived(machine: Clone) -> None:
        if up:
            machine.wait_for(lambda: bool(addresses(machine)), 40)
        else:  # by hand, or it would be held, and not be ready in its life
            machine.run("ip", "link", "set", "eth0", "up")
            ready(machine)

    return golden_tree(
        release, deb, store=store, name=f"{kind}-{name}", profile=None, prepare=furnished(kind, text, also),
        lived=lived, extra=extra(release), leases=leases,
    )  # fmt: skip


def addresses(machine: Clone) -> list[str]:
    """Return the global IPv4 addresses of eth0."""
    words = machine.run("ip", "-4", "-o", "address", "show", "dev", "eth0", "scope", "global").stdout.splitlines()
    return [line.split()[3].partition("/")[0] for line in words]
