"""Which links are the machine's, and which addresses it holds."""

from __future__ import annotations

from typing import Any

import pytest
from pyroute2.netlink.exceptions import NetlinkError

from nodeprep.errors import HostError
from nodeprep.host import links
from nodeprep.model import Link, LinkAddress


class Message(dict[str, Any]):
    """A netlink message as pyroute2 gives it: fields as items, attributes by name."""

    def __init__(self, attributes: dict[str, Any], **fields: Any) -> None:
        super().__init__(fields)
        self.attributes = attributes

    def get_attr(self, name: str) -> Any:
        return self.attributes.get(name)


def device(index: int, name: str, kind: str | None = None, **attributes: Any) -> tuple[int, Message]:
    info = {"IFLA_LINKINFO": Message({"IFLA_INFO_KIND": kind})} if kind else {}
    return index, Message({"IFLA_IFNAME": name, **info, **attributes}, index=index, ifi_type=1, flags=1)


def names(*devices: tuple[int, Message]) -> set[str]:
    found = dict(devices)
    return {found[index].get_attr("IFLA_IFNAME") for index in links._of_the_machine(found)}


def test_hardware_and_what_stands_for_it_is_the_machines() -> None:
    devices = (device(2, "ens3"), device(3, "ens4"), device(4, "ens3.7", "vlan"), device(5, "bond0", "bond"))

    assert names(*devices) == {"ens3", "ens4", "ens3.7", "bond0"}


def test_a_bridge_is_the_machines_only_with_hardware_in_it() -> None:
    devices = (
        device(2, "ens3", IFLA_MASTER=3),
        device(3, "br0", "bridge"),
        device(4, "docker0", "bridge"),
        device(5, "vethab", "veth", IFLA_MASTER=4, IFLA_LINK_NETNSID=0),
    )

    assert names(*devices) == {"ens3", "br0"}


@pytest.mark.parametrize("kind", ["dummy", "vxlan", "geneve", "tun", "wireguard", "ifb", "gretap", "macvlan", "ipvlan"])
def test_virtual_links_are_not_the_machines(kind: str) -> None:
    assert names(device(2, "ens3"), device(3, "x0", kind)) == {"ens3"}


def test_a_port_of_a_bond_is_the_machines_beside_the_bond() -> None:
    assert names(device(2, "ens3", IFLA_MASTER=3), device(3, "bond0", "bond")) == {"ens3", "bond0"}


def test_other_than_ethernet_is_not_a_link() -> None:
    loopback = device(1, "lo")
    loopback[1]["flags"] = 0x8 | 0x1
    infiniband = device(3, "ib0")
    infiniband[1]["ifi_type"] = 32

    assert names(loopback, device(2, "ens3"), infiniband) == {"ens3"}


@pytest.mark.parametrize(
    ("flags", "expected"),
    [(0x80, (False, False)), (0x00, (False, True)), (0x80 | 0x40 | 0x08, (True, False)), (0x80 | 0x44, (False, False))],
)
def test_an_address_says_what_the_kernel_found(flags: int, expected: tuple[bool, bool]) -> None:
    message = Message({"IFA_ADDRESS": "fe80::1", "IFA_FLAGS": flags}, index=2, prefixlen=64, scope=253, flags=0)

    address = links._address(message)

    assert address is not None
    assert (address.dad_failed, address.dynamic) == expected
    assert address.scope == "link"


@pytest.mark.parametrize(("flags", "scope"), [(0x80 | 0x40, 0), (0x80, 254)])
def test_an_address_in_doubt_or_of_the_host_alone_is_left_out(flags: int, scope: int) -> None:
    message = Message({"IFA_ADDRESS": "fd00::1", "IFA_FLAGS": flags}, index=2, prefixlen=64, scope=scope, flags=0)

    assert links._address(message) is None


def test_an_address_that_keepalived_set_floats() -> None:
    attributes = {"IFA_ADDRESS": "10.0.0.9", "IFA_PROTO": 18}
    address = links._address(Message(attributes, index=2, prefixlen=24, scope=0, flags=0x80))

    assert address is not None and address.floating


@pytest.mark.parametrize(
    ("own", "lone", "dynamic", "floats"),
    [
        ("10.0.0.1/24", "10.0.0.9/32", False, True),
        ("", "10.0.0.9/32", False, False),
        ("10.0.0.1/24", "10.0.0.9/32", True, False),
        ("fd00::1/64", "10.0.0.9/32", False, False),
        ("fd00::1/64", "fd00::9/128", False, True),
        ("fe80::1/64", "fd00::9/128", False, False),
    ],
    ids=["kube-vip's", "a cloud's only one", "leased", "the only IPv4 one", "an IPv6 one", "beside link-local only"],
)
def test_a_lone_address_floats_only_beside_a_wider_one(own: str, lone: str, dynamic: bool, floats: bool) -> None:
    held = []
    for text in filter(None, (own, lone)):
        address, prefix = text.split("/")
        scope = "link" if address.startswith("fe80") else "global"
        held.append(LinkAddress(address, int(prefix), scope, dynamic=dynamic and text == lone))

    told = {one.address: one.floating for one in links._told_apart(tuple(held))}

    assert told[lone.split("/", maxsplit=1)[0]] is floats
    assert sum(told.values()) == floats


def test_a_port_is_spoken_for_by_what_stands_for_it_and_by_nothing_else() -> None:
    enslaved = device(2, "ens3", IFLA_MASTER=3, IFLA_CARRIER=1, IFLA_CARRIER_CHANGES=5)[1]

    in_bond = links._link(enslaved, (), {2, 3})
    in_ovs = links._link(enslaved, (), {2})

    assert (in_bond.port, in_bond.speaks, in_bond.flaps) == (True, False, 5)
    assert (in_ovs.port, in_ovs.speaks) == (False, True)


def test_the_local_end_is_the_address_where_there_is_a_peer() -> None:
    attributes = {"IFA_ADDRESS": "10.0.0.2", "IFA_LOCAL": "10.0.0.1"}
    address = links._address(Message(attributes, index=2, prefixlen=32, scope=0, flags=0x80))

    assert address is not None and address.address == "10.0.0.1"


class Netlink:
    """A link whose driver refuses a MAC while it is up, or at all."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.done: list[dict[str, Any]] = []

    def __enter__(self) -> Netlink:
        return self

    def __exit__(self, *_: object) -> None:
        self.done.append({"closed": True})

    def get_addr(self, **_: Any) -> list[Any]:
        return []

    def get_routes(self) -> list[Any]:
        return []

    def link(self, command: str, **fields: Any) -> None:
        if "address" in fields and self.refusals > 0:
            self.refusals -= 1
            raise NetlinkError(links.EBUSY)
        self.done.append({key: value for key, value in fields.items() if key != "index"})


def known(mac: str) -> Link:
    return Link(name="eth0", index=2, mac=mac, permanent_mac=None, carrier=True)


def test_a_link_goes_down_only_if_its_driver_insists(monkeypatch: pytest.MonkeyPatch) -> None:
    netlink = Netlink(refusals=1)
    answers = iter(["02:00:00:00:00:01", "02:00:00:00:00:02"])
    monkeypatch.setattr(links, "IPRoute", lambda: netlink)
    monkeypatch.setattr(links, "link", lambda name: known(next(answers)))

    links.set_link_mac("eth0", "02:00:00:00:00:02")

    assert netlink.done == [{"state": "down"}, {"address": "02:00:00:00:00:02"}, {"state": "up"}, {"closed": True}]


def test_a_link_that_refuses_is_up_again_with_its_former_mac(monkeypatch: pytest.MonkeyPatch) -> None:
    netlink = Netlink(refusals=2)
    monkeypatch.setattr(links, "IPRoute", lambda: netlink)
    monkeypatch.setattr(links, "link", lambda name: known("02:00:00:00:00:01"))

    with pytest.raises(HostError, match="eth0"):
        links.set_link_mac("eth0", "02:00:00:00:00:02")

    assert netlink.done == [{"state": "down"}, {"address": "02:00:00:00:00:01"}, {"state": "up"}, {"closed": True}]


def test_a_link_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "links", lambda only: ())

    with pytest.raises(HostError, match="no link eth9"):
        links.link("eth9")
