"""What an edit of a connection changes, and what it leaves."""

from __future__ import annotations

import pytest

from nodeprep.host.bus import Variant, plain
from nodeprep.host.network.connection import Settings, edited, profile_of, same
from nodeprep.model import Profile
from nodeprep.steps import SetProfile

UUID = "5b6f0a3e-1111-4c55-9d1e-0c0ffee00001"


def former() -> Settings:
    static = {"address": Variant("s", "10.77.0.50"), "prefix": Variant("u", 24)}
    return {
        "connection": {"uuid": Variant("s", UUID), "id": Variant("s", "lan"), "timestamp": Variant("t", 1)},
        "802-3-ethernet": {
            "assigned-mac-address": Variant("s", "02:AA:BB:CC:DD:01"),
            "cloned-mac-address": Variant("ay", b"\x02\xaa\xbb\xcc\xdd\x01"),
            "mtu": Variant("u", 9000),
        },
        "ipv4": {
            "method": Variant("s", "manual"),
            "address-data": Variant("aa{sv}", [static]),
            "addresses": Variant("aau", [[838880522, 24, 16796938]]),
            "gateway": Variant("s", "10.77.0.1"),
            "dns-data": Variant("as", ["10.77.0.1"]),
            "route-data": Variant("aa{sv}", [{"dest": Variant("s", "10.99.0.0"), "prefix": Variant("u", 16)}]),
            "routes": Variant("aau", [[25354, 16, 16796938, 0]]),
        },
        "ipv6": {"method": Variant("s", "auto"), "dns-priority": Variant("i", 5)},
    }


def changed(**change: object) -> Settings:
    settings: Settings = plain(edited(former(), SetProfile(UUID, "eth0", **change)))  # type: ignore[arg-type]
    return settings


def test_a_new_mac_replaces_the_old_one_under_both_its_names() -> None:
    assert changed(mac="02:00:00:00:00:07")["802-3-ethernet"] == {
        "assigned-mac-address": "02:00:00:00:00:07",
        "mtu": 9000,
    }


def test_a_dropped_pin_leaves_no_mac() -> None:
    assert changed(mac="")["802-3-ethernet"] == {"mtu": 9000}


def test_a_mac_that_is_not_to_change_stays() -> None:
    assert changed(ipv4_addresses=())["802-3-ethernet"]["assigned-mac-address"] == "02:AA:BB:CC:DD:01"


def test_a_new_address_keeps_gateway_routes_and_dns() -> None:
    assert changed(ipv4_addresses=("10.77.0.61/24",))["ipv4"] == {
        "method": "manual",
        "address-data": [{"address": "10.77.0.61", "prefix": 24}],
        "gateway": "10.77.0.1",
        "dns-data": ["10.77.0.1"],
        "route-data": [{"dest": "10.99.0.0", "prefix": 16}],
    }


def test_no_address_means_dhcp_and_takes_the_gateway_with_it() -> None:
    assert changed(ipv4_addresses=())["ipv4"] == {
        "method": "auto",
        "dns-data": ["10.77.0.1"],
        "route-data": [{"dest": "10.99.0.0", "prefix": 16}],
    }


def test_an_address_where_there_was_dhcp_makes_it_manual() -> None:
    settings = changed(ipv6_addresses=("fd77::5/64", "fd77::6/64"))

    assert settings["ipv6"] == {
        "method": "manual",
        "dns-priority": 5,
        "address-data": [{"address": "fd77::5", "prefix": 64}, {"address": "fd77::6", "prefix": 64}],
    }
    assert settings["ipv4"]["address-data"] == [{"address": "10.77.0.50", "prefix": 24}]


def test_a_static_address_beside_a_lease_stays_beside_it() -> None:
    settings = former()
    settings["ipv4"]["method"] = Variant("s", "auto")

    edit = plain(edited(settings, SetProfile(UUID, "eth0", None, ("10.77.0.61/24",))))

    assert edit["ipv4"]["method"] == "auto"


def test_an_address_that_stays_keeps_its_label() -> None:
    settings = former()
    settings["ipv4"]["address-data"].value[0]["label"] = Variant("s", "eth0:vip")

    edit = plain(edited(settings, SetProfile(UUID, "eth0", None, ("10.77.0.61/24", "10.77.0.50/24"))))

    assert edit["ipv4"]["address-data"][1] == {"address": "10.77.0.50", "prefix": 24, "label": "eth0:vip"}


def test_an_edit_leaves_the_former_settings_alone() -> None:
    settings = former()
    edited(settings, SetProfile(UUID, "eth0", "", (), ()))

    assert plain(settings) == plain(former())


def test_settings_are_the_same_whenever_they_were_active_last() -> None:
    later = former()
    later["connection"]["timestamp"] = Variant("t", 2)

    assert same(former(), later)
    assert not same(former(), edited(former(), SetProfile(UUID, "eth0", "")))


def test_a_profile_says_what_carries_identity() -> None:
    assert profile_of(plain(former()), {UUID: "eth0"}) == Profile(
        key=UUID,
        title="lan",
        link="eth0",
        pinned_mac="02:aa:bb:cc:dd:01",
        ipv4_method="manual",
        ipv4_addresses=("10.77.0.50/24",),
    )


@pytest.mark.parametrize("word", ["permanent", "preserve", "random", "stable", "stable-ssid", ""])
def test_a_word_instead_of_a_mac_pins_nothing(word: str) -> None:
    settings = plain(former())
    settings["802-3-ethernet"]["assigned-mac-address"] = word

    assert profile_of(settings, {}).pinned_mac is None
    assert profile_of(settings, {}).link is None


def test_a_profile_that_is_not_active_goes_by_the_link_it_names() -> None:
    settings = plain(former())
    settings["connection"]["interface-name"] = "ens3"

    assert profile_of(settings, {}).link == "ens3"


def test_the_mac_by_which_a_profile_finds_its_link() -> None:
    settings = plain(former())
    settings["802-3-ethernet"]["mac-address"] = b"\x52\x54\x00\xaa\xbb\xcc"

    assert profile_of(settings, {}).matched_mac == "52:54:00:aa:bb:cc"
