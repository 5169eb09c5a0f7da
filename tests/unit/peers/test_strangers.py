"""Strangers: who is reported, who is not, and how often an address is defended."""

from __future__ import annotations

from nodeprep.model import Sighting
from nodeprep.peers.strangers import (
    ECHO_S,
    EXPIRY_S,
    MAC_SETTLE_S,
    RFC5227_DEFEND_INTERVAL_S,
    SETTLE_S,
    STRANGERS_MAX,
    Strangers,
)

ARP = Sighting("ipv4", "10.77.0.10", "eth0", "02:aa:bb:cc:dd:ee")
MAC = Sighting("mac", "52:54:00:77:00:10", "eth0", "52:54:00:77:00:10")


def reported(strangers: Strangers, now: float, echoes: dict[str, float] | None = None) -> list[Sighting]:
    return [stranger.sighting for stranger in strangers.settled(now, echoes or {})]


def test_a_stranger_is_reported_once_it_has_come_to_stay() -> None:
    strangers = Strangers()
    strangers.see(0.0, ARP)
    strangers.see(SETTLE_S - 0.1, ARP)
    assert reported(strangers, SETTLE_S) == []
    strangers.see(SETTLE_S, ARP)
    assert reported(strangers, SETTLE_S) == [ARP]
    assert reported(strangers, SETTLE_S + EXPIRY_S - 0.1) == [ARP]
    assert reported(strangers, SETTLE_S + EXPIRY_S) == []


def test_a_twin_on_its_way_to_another_identity_is_not_reported() -> None:
    strangers = Strangers()
    for now in (0.0, 0.1, 2.0):
        strangers.see(now, ARP)
    assert reported(strangers, 30.0) == []


def test_a_copy_that_bears_our_mac_until_its_network_is_there_is_not_reported() -> None:
    strangers = Strangers()
    for now in (0.0, 10.0, MAC_SETTLE_S - 0.1):
        strangers.see(now, MAC)
    assert reported(strangers, MAC_SETTLE_S + 60.0) == []
    strangers.see(MAC_SETTLE_S, MAC)
    assert reported(strangers, MAC_SETTLE_S) == [MAC]


def test_an_address_is_defended_once_in_the_interval_however_often_it_is_contested() -> None:
    strangers = Strangers()
    defended = [now / 100 for now in range(6000) if strangers.see(now / 100, ARP)]
    assert defended == [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]
    other = Sighting("ipv4", "10.77.0.11", "eth0", ARP.mac)
    assert strangers.see(60.0 - RFC5227_DEFEND_INTERVAL_S / 2, other), "each address has an interval of its own"


def test_many_that_contest_one_address_draw_one_defence() -> None:
    strangers = Strangers()
    drawn = [strangers.see(number / 1000, Sighting("ipv4", ARP.value, "eth0", f"{number}")) for number in range(5000)]
    assert sum(drawn) == 1


def test_a_mac_is_not_defended() -> None:
    assert not Strangers().see(0.0, MAC)


def test_where_our_own_frames_come_back_so_does_our_mac() -> None:
    strangers = Strangers()
    for now in (100.0, 130.0):
        strangers.see(now, MAC)
        strangers.see(now, ARP)
    assert reported(strangers, 130.0, {"eth0": 101.0}) == [ARP]
    assert reported(strangers, 130.0, {"eth1": 101.0}) == [MAC, ARP]
    strangers.see(101.0 + ECHO_S, MAC)
    assert reported(strangers, 101.0 + ECHO_S, {"eth0": 101.0}) == []


def test_what_is_about_an_address_that_we_gave_up_is_forgotten() -> None:
    strangers = Strangers()
    for now in (0.0, 31.0):
        strangers.see(now, ARP)
        strangers.see(now, MAC)
    strangers.keep(frozenset({("eth0", MAC.value), ("eth1", ARP.value)}))
    assert reported(strangers, 31.0) == [MAC]


def test_the_table_is_bounded() -> None:
    strangers = Strangers()
    for number in range(10 * STRANGERS_MAX):
        strangers.see(number / 1000, Sighting("ipv4", ARP.value, "eth0", f"{number}"))
    assert len(strangers.seen(1.0)) == STRANGERS_MAX
