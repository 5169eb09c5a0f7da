"""interfaces(5): stanzas wherever they lie, and edits that leave the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nodeprep.host.files import Files
from nodeprep.host.network import ifupdown, interfaces
from nodeprep.host.network.interfaces import MAIN, edits, stanzas
from nodeprep.model import Link
from nodeprep.steps import SetProfile
from tests.fakes.disk import put

MAC = "52:54:00:77:00:10"
NEW = "02:00:00:00:00:07"
STATIC = f"""\
source /etc/network/interfaces.d/*

auto lo
iface lo inet loopback

# the operator's
allow-hotplug eth0
iface eth0 inet static
\taddress 10.77.0.10
\tnetmask 255.255.255.0
\tgateway 10.77.0.1
    hwaddress ether {MAC}
    up ip route add 10.99.0.0/16 \\
        via 10.77.0.1

iface eth0 inet6 static
    address fd77::10/64

auto eth1
iface eth1 inet dhcp
"""


@pytest.fixture
def files(tmp_path: Path) -> Files:
    put(tmp_path, MAIN, STATIC.encode())
    return Files("test", str(tmp_path))


def change(**values: Any) -> SetProfile:
    return SetProfile("ifupdown:eth0", "eth0", **values)


def text(files: Files, **values: Any) -> str:
    (made,) = edits(change(**values), stanzas(files, "eth0"), files).values()
    return str(made)


def test_the_stanzas_of_a_link_are_its_profile(files: Files) -> None:
    profile = ifupdown.profile_of("eth0", stanzas(files, "eth0"))
    assert (profile.key, profile.title, profile.manager) == ("ifupdown:eth0", "iface eth0", "ifupdown")
    assert profile.pinned_mac == MAC
    assert (profile.ipv4_method, profile.ipv4_addresses) == ("manual", ("10.77.0.10/24",))
    assert (profile.ipv6_method, profile.ipv6_addresses) == ("manual", ("fd77::10/64",))


def test_only_links_that_ifupdown_has_up_have_profiles(tmp_path: Path, files: Files) -> None:
    links = [Link(name, index, MAC, None, carrier=True) for index, name in enumerate(("eth0", "eth1", "eth2"))]
    assert ifupdown.profiles(links, files) == ()
    put(tmp_path, "/run/network/ifstate", b"lo=lo\neth1=eth1\neth2=eth2\n")
    (profile,) = ifupdown.profiles(links, files)
    assert (profile.link, profile.ipv4_method) == ("eth1", "auto")


def test_sourced_files_are_read_and_edited_where_they_lie(tmp_path: Path) -> None:
    put(tmp_path, MAIN, b"source interfaces.d/*.conf\nsource-directory /etc/network/more\nsource-directory /none\n")
    put(tmp_path, "/etc/network/interfaces.d/lan.conf", b"iface eth0 inet static\n  address 10.0.0.1/24\n")
    put(tmp_path, "/etc/network/interfaces.d/lan.bak", b"iface eth0 inet static\n  address 10.0.0.9/24\n")
    put(tmp_path, "/etc/network/more/v6", b"source /etc/network/interfaces\niface eth0 inet6 auto\n")
    put(tmp_path, "/etc/network/more/v6.dpkg-old", b"iface eth0 inet dhcp\n")
    found = stanzas(Files("test", str(tmp_path)), "eth0")
    assert {(one.path, one.method) for one in found} == {
        ("/etc/network/interfaces.d/lan.conf", "static"),
        ("/etc/network/more/v6", "auto"),
    }


def test_an_alias_belongs_to_its_link(tmp_path: Path) -> None:
    put(
        tmp_path, MAIN, b"iface eth0 inet dhcp\niface eth0:1 inet static\n address 10.0.0.5/24\niface eth01 inet dhcp\n"
    )
    profile = ifupdown.profile_of("eth0", stanzas(Files("test", str(tmp_path)), "eth0"))
    assert (profile.ipv4_method, profile.ipv4_addresses) == ("auto", ("10.0.0.5/24",))


@pytest.mark.parametrize(
    "nonsense",
    [
        "iface\n",
        "iface eth0\n",
        "iface eth0 inet static\n",
        "iface eth0 inet static\n address nonsense/99\n netmask x\n hwaddress random\n",
        "address 10.0.0.1\n\\\n",
        "iface eth0 inet static\n address 10.0.0.1/24 \\",
        "\ufffd\x00",
    ],
)
def test_odd_files_are_read_without_a_fault(tmp_path: Path, nonsense: str) -> None:
    put(tmp_path, MAIN, nonsense.encode())
    profile = ifupdown.profile_of("eth0", stanzas(Files("test", str(tmp_path)), "eth0"))
    assert profile.pinned_mac is None
    assert profile.ipv4_addresses in ((), ("10.0.0.1/24",))


def test_a_pin_is_dropped_and_nothing_else(files: Files) -> None:
    assert text(files, mac="") == STATIC.replace(f"    hwaddress ether {MAC}\n", "")


def test_a_pin_is_replaced_and_keeps_its_form(files: Files) -> None:
    assert text(files, mac=NEW) == STATIC.replace(MAC, NEW)


def test_a_mac_where_none_was_pinned_is_added(tmp_path: Path) -> None:
    put(tmp_path, MAIN, b"iface eth0 inet dhcp\n    metric 5\n")
    assert text(Files("test", str(tmp_path)), mac=NEW) == f"iface eth0 inet dhcp\n    hwaddress {NEW}\n    metric 5\n"


def test_a_new_address_has_its_prefix_in_the_place_of_a_netmask(files: Files) -> None:
    assert text(files, ipv4_addresses=("10.77.0.61/24",)) == STATIC.replace(
        "\taddress 10.77.0.10\n\tnetmask 255.255.255.0\n", "    address 10.77.0.61/24\n"
    )


def test_an_address_of_another_network_takes_its_broadcast_along(tmp_path: Path) -> None:
    put(tmp_path, MAIN, b"iface eth0 inet static\naddress 10.0.0.1/24\nbroadcast 10.0.0.255\n")
    files = Files("test", str(tmp_path))
    assert "broadcast" in text(files, ipv4_addresses=("10.0.0.2/24",))
    assert "broadcast" not in text(files, ipv4_addresses=("10.0.1.2/24",))


def test_no_address_means_dhcp_and_keeps_what_is_not_of_the_address(files: Files) -> None:
    assert text(files, ipv4_addresses=()) == STATIC.replace("eth0 inet static", "eth0 inet dhcp").replace(
        "\taddress 10.77.0.10\n\tnetmask 255.255.255.0\n\tgateway 10.77.0.1\n", ""
    )
    assert "iface eth0 inet6 auto\n\nauto eth1" in text(files, ipv6_addresses=())


def test_an_address_more_is_a_stanza_more_and_one_less_a_stanza_less(tmp_path: Path) -> None:
    two = "iface eth0 inet static\n    address 10.0.0.1/24\n\niface eth0 inet static\n    address 10.0.0.2/24\n"
    put(tmp_path, MAIN, b"iface eth0 inet static\n    address 10.0.0.1/24\n")
    assert text(Files("test", str(tmp_path)), ipv4_addresses=("10.0.0.1/24", "10.0.0.2/24")) == two
    put(tmp_path, MAIN, two.encode())
    assert text(Files("test", str(tmp_path)), ipv4_addresses=("10.0.0.2/24",)).split() == two.split()[6:]
    assert text(Files("test", str(tmp_path)), ipv4_addresses=()).strip() == "iface eth0 inet dhcp"


def test_both_changes_of_one_stanza_are_made_at_once(files: Files) -> None:
    made = text(files, mac=NEW, ipv4_addresses=("10.77.0.61/24",))
    assert NEW in made and "10.77.0.61/24" in made and MAC not in made


def test_nothing_to_change_is_no_edit(files: Files) -> None:
    assert edits(change(), stanzas(files, "eth0"), files) == {}
    assert edits(change(ipv4_addresses=("10.77.0.10/24",)), stanzas(files, "eth0"), files) == {}
    assert interfaces.pins(stanzas(files, "eth1")) == ()
