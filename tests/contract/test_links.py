"""What host.links promises, against the kernel in a network namespace of its own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

PREAMBLE = """
import dataclasses, json
from nodeprep.errors import HostError
from nodeprep.host import links, monitor
def show(value): print(json.dumps(value))
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")


def ip(*arguments: str) -> None:
    subprocess.run(("ip", *arguments), check=True, capture_output=True)


def inside(space: str, code: str) -> Any:
    command = ("ip", "netns", "exec", space, sys.executable, "-c", PREAMBLE + code)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def links_of(space: str, only: str = "None") -> dict[str, Any]:
    found = inside(space, f"show([dataclasses.asdict(link) for link in links.links({only})])")
    return {link["name"]: link for link in found}


def until(condition: Callable[[], Any], timeout_s: float = 10.0) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (value := condition()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return value


@pytest.fixture
def lan() -> Iterator[tuple[str, str]]:
    """A machine's name space with eth0, and the name space of the bridge that eth0 is plugged into."""
    machine, outside = (f"nodeprep-links-{os.getpid()}-{end}" for end in ("in", "out"))
    try:
        for space in (machine, outside):
            ip("netns", "add", space)
            ip("-n", space, "link", "set", "lo", "up")
        ip("-n", outside, "link", "add", "br0", "type", "bridge")
        ip("-n", outside, "link", "set", "br0", "up")
        ip("-n", outside, "address", "add", "10.77.0.1/24", "dev", "br0")
        ip(
            *("-n", outside, "link", "add", "out0", "type", "veth", "peer", "name", "eth0"),
            *("netns", machine, "address", "02:00:00:00:00:51"),
        )
        ip("-n", outside, "link", "set", "out0", "master", "br0", "up")
        ip("-n", machine, "link", "set", "eth0", "up")
        ip("-n", machine, "address", "add", "10.77.0.2/24", "dev", "eth0")
        ip("-n", machine, "route", "add", "default", "via", "10.77.0.1")
        yield machine, outside
    finally:
        for space in (machine, outside):
            with contextlib.suppress(subprocess.CalledProcessError):
                ip("netns", "delete", space)


def test_a_veth_whose_other_end_is_elsewhere_is_the_machines_link(lan: tuple[str, str]) -> None:
    found = until(lambda: (link := links_of(lan[0]))["eth0"]["carrier"] and link)

    assert list(found) == ["eth0"]
    assert found["eth0"]["mac"] == "02:00:00:00:00:51"
    assert found["eth0"]["permanent_mac"] is None
    flags = {"dad_failed": False, "dynamic": False, "floating": False}
    assert {"address": "10.77.0.2", "prefix_length": 24, "scope": "global", **flags} in found["eth0"]["addresses"]
    assert not found["eth0"]["port"]


def test_a_lone_address_beside_the_links_own_floats(lan: tuple[str, str]) -> None:
    ip("-n", lan[0], "address", "add", "10.77.0.250/32", "dev", "eth0")

    floats = {address["address"]: address["floating"] for address in links_of(lan[0])["eth0"]["addresses"]}

    assert floats["10.77.0.250"] and not floats["10.77.0.2"]


def test_a_carrier_that_comes_and_goes_is_counted(lan: tuple[str, str]) -> None:
    before = until(lambda: (link := links_of(lan[0])["eth0"])["carrier"] and link)["flaps"]
    for state in ("down", "up"):
        ip("-n", lan[1], "link", "set", "out0", state)
        time.sleep(0.3)

    assert until(lambda: links_of(lan[0])["eth0"]["carrier"])
    assert links_of(lan[0])["eth0"]["flaps"] >= before + 2


def test_a_port_of_a_bridge_of_the_machine_leaves_the_word_to_the_bridge(lan: tuple[str, str]) -> None:
    ip("-n", lan[0], "link", "add", "br1", "type", "bridge")
    before = links_of(lan[0])
    ip("-n", lan[0], "link", "set", "br1", "up")
    ip("-n", lan[0], "link", "set", "eth0", "master", "br1")

    found = links_of(lan[0], "('eth0', 'br1')")

    assert not before["eth0"]["port"]
    assert found["eth0"]["port"] and not found["br1"]["port"]


def test_a_leased_address_is_dynamic(lan: tuple[str, str]) -> None:
    ip("-n", lan[0], "address", "add", "10.77.0.9/24", "dev", "eth0", "valid_lft", "600", "preferred_lft", "600")

    dynamic = {address["address"]: address["dynamic"] for address in links_of(lan[0])["eth0"]["addresses"]}

    assert dynamic["10.77.0.9"] and not dynamic["10.77.0.2"]


def test_a_link_whose_cable_is_pulled_has_no_carrier(lan: tuple[str, str]) -> None:
    ip("-n", lan[1], "link", "set", "out0", "down")

    assert until(lambda: not links_of(lan[0])["eth0"]["carrier"])


def test_links_of_pods_and_tunnels_are_not_the_machines(lan: tuple[str, str]) -> None:
    machine, outside = lan
    for name, bridge in (("veth1a2b", "cni0"), ("calia1b2", ""), ("plain0", "cni0")):
        ip("-n", machine, "link", "add", name, "type", "veth", "peer", "name", f"p-{name}", "netns", outside)
        if bridge and bridge not in links_of(machine, f"({bridge!r},)"):
            ip("-n", machine, "link", "add", bridge, "type", "bridge")
        if bridge:
            ip("-n", machine, "link", "set", name, "master", bridge)
    ip("-n", machine, "link", "add", "cilium_host", "type", "veth", "peer", "name", "cilium_net")
    ip("-n", machine, "link", "add", "inner0", "type", "veth", "peer", "name", "inner1")

    assert list(links_of(machine)) == ["eth0"]
    assert list(links_of(machine, "('plain0',)")) == ["plain0"]


@pytest.mark.parametrize("kind", ["vlan", "bond"])
def test_vlans_and_bonds_stand_for_the_machine(lan: tuple[str, str], kind: str) -> None:
    arguments = {
        "vlan": ("link", "eth0", "name", "eth0.7", "type", "vlan", "id", "7"),
        "bond": ("bond0", "type", "bond"),
    }
    try:
        ip("-n", lan[0], "link", "add", *arguments[kind])
    except subprocess.CalledProcessError as error:
        pytest.skip(f"this kernel has no {kind}: {error.stderr!r}")

    found = links_of(lan[0])

    assert len(found) == 2 and "eth0" in found
    if kind == "vlan":
        assert found["eth0.7"]["mac"] == found["eth0"]["mac"]


def test_an_address_found_duplicate_says_so_and_one_in_doubt_is_not_held(lan: tuple[str, str]) -> None:
    ip("-n", lan[1], "address", "add", "fd77::2/64", "dev", "br0", "nodad")
    assert until(lambda: links_of(lan[0])["eth0"]["carrier"])
    ip("-n", lan[0], "address", "add", "fd77::2/64", "dev", "eth0")
    ip("-n", lan[0], "address", "add", "fd77::3/64", "dev", "eth0")

    def settled() -> Any:
        found = {address["address"]: address for address in links_of(lan[0])["eth0"]["addresses"]}
        return found if {"fd77::2", "fd77::3"} <= set(found) else None

    found = until(settled)
    # A minute in doubt, however slow this machine is.
    ip("netns", "exec", lan[0], "sh", "-c", "echo 60 > /proc/sys/net/ipv6/conf/eth0/dad_transmits")
    ip("-n", lan[0], "address", "add", "fd77::4/64", "dev", "eth0")

    assert "fd77::4" not in {address["address"] for address in links_of(lan[0])["eth0"]["addresses"]}
    assert found["fd77::2"]["dad_failed"]
    assert not found["fd77::3"]["dad_failed"]


def test_a_new_mac_keeps_addresses_and_routes(lan: tuple[str, str]) -> None:
    inside(lan[0], "links.set_link_mac('eth0', '02:00:00:00:00:AA'); show(1)")

    routes = subprocess.run(("ip", "-n", lan[0], "route"), capture_output=True, text=True, check=True).stdout
    assert links_of(lan[0])["eth0"]["mac"] == "02:00:00:00:00:aa"
    assert "default via 10.77.0.1" in routes


def test_a_link_that_had_to_go_down_gets_its_addresses_and_routes_back(lan: tuple[str, str]) -> None:
    ip("-n", lan[0], "address", "add", "fd77::5/64", "dev", "eth0", "nodad")
    ip("-n", lan[0], "route", "add", "10.99.0.0/16", "via", "10.77.0.1", "metric", "50")
    ip("-n", lan[0], "route", "add", "default", "via", "fd77::1")

    inside(
        lan[0],
        "with links._netlink('test') as netlink:\n"
        "    index = links.link('eth0').index\n"
        "    links._put_mac_down(netlink, index, '02:00:00:00:00:bb', '02:00:00:00:00:51')\n"
        "show(1)",
    )

    routes = subprocess.run(("ip", "-n", lan[0], "route"), capture_output=True, text=True, check=True).stdout
    routes6 = subprocess.run(("ip", "-n", lan[0], "-6", "route"), capture_output=True, text=True, check=True).stdout
    assert links_of(lan[0])["eth0"]["mac"] == "02:00:00:00:00:bb"
    assert "default via 10.77.0.1" in routes and "10.99.0.0/16 via 10.77.0.1" in routes and "metric 50" in routes
    assert "default via fd77::1" in routes6
    assert until(lambda: "fd77::5" in str(links_of(lan[0])["eth0"]["addresses"]))


def test_a_mac_that_the_kernel_refuses_leaves_the_former_one(lan: tuple[str, str]) -> None:
    said = inside(
        lan[0],
        "try: links.set_link_mac('eth0', '03:00:00:00:00:aa')\nexcept HostError as error: show(str(error))",
    )

    assert "eth0" in said
    assert links_of(lan[0])["eth0"]["mac"] == "02:00:00:00:00:51"


def test_only_neighbours_that_are_there_answer(lan: tuple[str, str]) -> None:
    assert until(lambda: links_of(lan[0])["eth0"]["carrier"])

    answers = inside(
        lan[0], "show([links.neighbour_answers('eth0', address, 1.5) for address in ('10.77.0.1', '10.77.0.7')])"
    )

    assert answers == [True, False]


def test_the_monitor_hears_of_a_new_address_and_a_new_link(lan: tuple[str, str]) -> None:
    changes = inside(
        lan[0],
        "import select, subprocess\n"
        "news = monitor.LinkMonitor()\n"
        "news.read()\n"
        "subprocess.run(['ip', 'address', 'add', '10.77.0.8/24', 'dev', 'eth0'], check=True)\n"
        "subprocess.run(['ip', 'link', 'add', 'br7', 'type', 'bridge'], check=True)\n"
        "readable = select.select([news], [], [], 5)[0]\n"
        "index = {link.name: link.index for link in links.links(('eth0', 'br7'))}\n"
        "show([bool(readable), sorted(news.read()), index])",
    )

    readable, heard, index = changes
    assert readable
    assert ["newaddr", index["eth0"]] in heard
    assert ["newlink", index["br7"]] in heard


def test_no_socket_is_left_open(lan: tuple[str, str]) -> None:
    left = inside(
        lan[0],
        "import os\n"
        "links.links(); before = len(os.listdir('/proc/self/fd'))\n"
        "for _ in '12345':\n"
        "    links.links(); links.neighbour_answers('eth0', '10.77.0.1', 0.1); monitor.LinkMonitor().close()\n"
        "show(len(os.listdir('/proc/self/fd')) - before)",
    )

    assert left == 0


def test_gateways_are_those_of_the_link_those_of_ipv4_first(lan: tuple[str, str]) -> None:
    machine, _ = lan
    ip("-n", machine, "address", "add", "fd77::2/64", "dev", "eth0", "nodad")
    ip("-n", machine, "route", "add", "default", "via", "fd77::1", "dev", "eth0")
    ip("-n", machine, "route", "add", "10.99.0.0/16", "via", "10.77.0.9")
    assert inside(machine, "show(links.gateways('eth0'))") == ["10.77.0.1", "fd77::1"]
    ip("-n", machine, "route", "flush", "default")
    ip("-n", machine, "-6", "route", "flush", "default")
    assert inside(machine, "show(links.gateways('eth0'))") == []


def test_a_link_that_is_restarted_has_its_mac_and_nothing_that_was_made_from_the_old_one(lan: tuple[str, str]) -> None:
    machine, _ = lan
    until(lambda: any(a["scope"] == "link" for a in links_of(machine)["eth0"]["addresses"]))
    inside(machine, "links.restart('eth0', '02:00:00:00:00:77'); show(0)")
    link = links_of(machine)["eth0"]
    assert link["mac"] == "02:00:00:00:00:77"
    assert not any(a["address"] == "fe80::ff:fe00:51" for a in link["addresses"])
    assert not any(a["scope"] == "global" for a in link["addresses"])
    assert until(lambda: links_of(machine)["eth0"]["carrier"])
    assert until(lambda: any(a["address"] == "fe80::ff:fe00:77" for a in links_of(machine)["eth0"]["addresses"]))


def test_a_mac_that_no_link_takes_leaves_the_link_up(lan: tuple[str, str]) -> None:
    machine, _ = lan
    code = """
try: links.restart('eth0', '01:00:5e:00:00:01')
except HostError as error: show(str(error))
"""
    assert "MAC of eth0" in inside(machine, code)
    assert until(lambda: links_of(machine)["eth0"]["carrier"])
