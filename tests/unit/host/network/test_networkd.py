"""Links of networkd: which file says what of them, and what an edit writes where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nodeprep.errors import HostError
from nodeprep.host import programs
from nodeprep.host.files import Files
from nodeprep.host.network import networkd
from nodeprep.model import Link
from nodeprep.steps import SetProfile
from tests.fakes.disk import put

MAC = "52:54:00:77:00:10"
NEW = "02:00:00:00:00:07"
LAN = "/etc/systemd/network/10-lan.network"
LINK = Link("eth0", 2, MAC, "52:54:00:00:00:01", carrier=True)
STATIC = f"""\
[Match]
Name=eth0

[Link]
MACAddress={MAC}

[Network] # no header: ours is above
[Network]
# the operator's
Address=10.77.0.10/24
Address=fd77::10/64
Gateway=10.77.0.1
"""


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files("test", str(tmp_path))


def managed(root: Path, text: str, path: str = LAN, index: int = 2, state: str = "configured") -> None:
    put(root, path, text.encode())
    put(root, f"/run/systemd/netif/links/{index}", f"ADMIN_STATE={state}\nNETWORK_FILE={path}\n".encode())


def change(path: str = LAN, **values: Any) -> SetProfile:
    return SetProfile(f"networkd:{path}", "eth0", **values)


def edits(files: Files, asked: SetProfile) -> dict[str, str | None]:
    path = asked.profile.removeprefix("networkd:")
    return networkd.edits(asked, networkd.profile_of("eth0", path, files, 2), LINK, files)


def test_a_file_is_told_with_what_carries_identity(tmp_path: Path, files: Files) -> None:
    managed(tmp_path, STATIC)
    (profile,) = networkd.profiles([LINK], files)
    assert (profile.key, profile.title, profile.link) == (f"networkd:{LAN}", "10-lan.network", "eth0")
    assert (profile.pinned_mac, profile.manager) == (MAC, "networkd")
    assert (profile.ipv4_method, profile.ipv4_addresses) == ("manual", ("10.77.0.10/24",))
    assert (profile.ipv6_method, profile.ipv6_addresses) == ("manual", ("fd77::10/64",))


@pytest.mark.parametrize("state", ["unmanaged", ""])
def test_a_link_that_networkd_leaves_alone_has_no_profile(tmp_path: Path, files: Files, state: str) -> None:
    if state:
        managed(tmp_path, STATIC, state=state)
    assert networkd.profiles([LINK], files) == ()


@pytest.mark.parametrize(
    ("state", "carrier", "address", "starting"),
    [
        ("configuring", "carrier", "off", True),
        ("configuring", "carrier", "degraded", True),
        ("configuring", "carrier", "routable", False),
        ("pending", "carrier", "off", True),
        ("configuring", "no-carrier", "off", False),
        ("configured", "carrier", "off", False),
        ("failed", "carrier", "off", False),
    ],
)
def test_who_is_waited_for(
    tmp_path: Path, files: Files, state: str, carrier: str, address: str, starting: bool
) -> None:
    told = f"ADMIN_STATE={state}\nCARRIER_STATE={carrier}\nADDRESS_STATE={address}\n"
    put(tmp_path, "/run/systemd/netif/links/2", told.encode())
    assert networkd.starting([LINK], files) is starting


@pytest.mark.parametrize(
    ("dhcp", "method"), [("yes", "auto"), ("ipv4", "auto"), ("ipv6", "disabled"), ("no", "disabled"), ("", "disabled")]
)
def test_who_gives_the_address(tmp_path: Path, files: Files, dhcp: str, method: str) -> None:
    managed(tmp_path, f"[Network]\nDHCP=no\nDHCP={dhcp}\n")
    assert networkd.profiles([LINK], files)[0].ipv4_method == method


def test_drop_ins_are_read_by_name_and_the_folder_of_the_operator_hides_the_others(
    tmp_path: Path, files: Files
) -> None:
    managed(tmp_path, "[Link]\nMACAddress=02:00:00:00:00:01\n", "/usr/lib/systemd/network/10-lan.network")
    for folder, name, mac in (
        ("/usr/lib", "20-b.conf", "02:00:00:00:00:02"),
        ("/run", "10-a.conf", "02:00:00:00:00:03"),
        ("/etc", "20-b.conf", "02:00:00:00:00:04"),
    ):
        put(
            tmp_path,
            f"{folder}/systemd/network/10-lan.network.d/{name}",
            f"[Link]\nMACAddress={mac}\n[Network]\nAddress=10.0.0.{mac[-1]}/24\n".encode(),
        )
    (profile,) = networkd.profiles([LINK], files)
    assert profile.pinned_mac == "02:00:00:00:00:04"
    assert profile.ipv4_addresses == ("10.0.0.3/24", "10.0.0.4/24")


def test_an_empty_address_takes_away_those_before_it(tmp_path: Path, files: Files) -> None:
    managed(tmp_path, "[Network]\nAddress=10.0.0.1/24\nAddress=\nAddress=10.0.0.2/24\nAddress=0.0.0.0/24\n")
    assert networkd.profiles([LINK], files)[0].ipv4_addresses == ("10.0.0.2/24",)


def test_an_address_without_a_prefix_is_of_its_class(tmp_path: Path, files: Files) -> None:
    managed(tmp_path, "[Network]\nAddress=10.0.0.1\nAddress=192.168.1.1\nAddress=fd77::1\nAddress=nonsense\n")
    (profile,) = networkd.profiles([LINK], files)
    assert profile.ipv4_addresses == ("10.0.0.1/8", "192.168.1.1/24")
    assert profile.ipv6_addresses == ("fd77::1/128",)


@pytest.mark.parametrize("written", ["52-54-00-77-00-10", "5254.0077.0010", "52:54:00:77:00:10 02:00:00:00:00:01"])
def test_a_matched_mac_is_told_in_its_usual_form(tmp_path: Path, files: Files, written: str) -> None:
    managed(tmp_path, f"[Match]\nPermanentMACAddress={written}\n")
    assert networkd.profiles([LINK], files)[0].matched_mac == MAC


def test_a_pin_is_dropped_where_it_is_written(tmp_path: Path, files: Files) -> None:
    managed(tmp_path, STATIC)
    assert edits(files, change(mac="")) == {LAN: STATIC.replace(f"MACAddress={MAC}\n", "")}


def test_a_pin_is_replaced_where_it_is_written(tmp_path: Path, files: Files) -> None:
    managed(tmp_path, STATIC)
    assert edits(files, change(mac=NEW)) == {LAN: STATIC.replace(MAC, NEW)}


def test_a_mac_where_none_was_pinned_goes_to_a_drop_in(tmp_path: Path, files: Files) -> None:
    managed(tmp_path, "[Match]\nName=eth0\n")
    assert edits(files, change(mac=NEW)) == {f"{LAN}.d/50-nodeprep.conf": f"[Link]\nMACAddress={NEW}\n"}


def test_a_pin_of_udevs_link_file_is_changed_there(tmp_path: Path, files: Files) -> None:
    managed(tmp_path, "[Match]\nName=eth0\n")
    put(tmp_path, "/usr/lib/systemd/network/05-lan.link", f"[Match]\nType=ether\n[Link]\nMACAddress={MAC}\n".encode())
    put(tmp_path, "/run/udev/data/n2", b"I:1\nE:ID_NET_LINK_FILE=/usr/lib/systemd/network/05-lan.link\n")
    assert networkd.profiles([LINK], files)[0].pinned_mac == MAC
    assert edits(files, change(mac="")) == {"/etc/systemd/network/05-lan.link": "[Match]\nType=ether\n[Link]\n"}


def test_the_pin_of_a_bridge_is_changed_in_its_netdev_file(tmp_path: Path, files: Files) -> None:
    managed(tmp_path, "[Match]\nName=eth0\n")
    path = "/etc/systemd/network/br.netdev"
    put(tmp_path, path, f"[NetDev]\nName=eth0\nKind=bridge\nMACAddress={MAC}\n".encode())
    put(tmp_path, "/etc/systemd/network/other.netdev", b"[NetDev]\nName=br1\nMACAddress=02:00:00:00:00:99\n")
    assert edits(files, change(mac=NEW)) == {path: f"[NetDev]\nName=eth0\nKind=bridge\nMACAddress={NEW}\n"}


def test_a_file_of_the_distribution_is_replaced_in_etc(tmp_path: Path, files: Files) -> None:
    path = "/usr/lib/systemd/network/80-wired.network"
    managed(tmp_path, "[Network]\nAddress=10.77.0.10/24\n", path)
    assert edits(files, change(path, ipv4_addresses=("10.77.0.61/24",))) == {
        "/etc/systemd/network/80-wired.network": "[Network]\nAddress=10.77.0.61/24\n"
    }


def test_a_link_that_is_matched_by_its_hardwares_mac_is_matched_by_that_afterwards(
    tmp_path: Path, files: Files
) -> None:
    managed(tmp_path, f"[Match]\nMACAddress={LINK.permanent_mac}\n\n[Link]\nMTUBytes=9000\n")
    assert edits(files, change(mac=NEW)) == {
        LAN: f"[Match]\nPermanentMACAddress={LINK.permanent_mac}\n\n[Link]\nMTUBytes=9000\n",
        f"{LAN}.d/50-nodeprep.conf": f"[Link]\nMACAddress={NEW}\n",
    }


def test_a_new_address_keeps_gateway_and_the_other_family(tmp_path: Path, files: Files) -> None:
    managed(tmp_path, STATIC)
    assert edits(files, change(ipv4_addresses=("10.77.0.61/24",))) == {
        LAN: STATIC.replace("10.77.0.10/24", "10.77.0.61/24")
    }


def test_more_addresses_than_before_are_added(tmp_path: Path, files: Files) -> None:
    managed(tmp_path, "[Network]\nAddress=10.77.0.10/24\n")
    asked = change(ipv4_addresses=("10.77.0.61/24", "10.77.0.62/24"), ipv6_addresses=("fd77::1/64",))
    assert edits(files, asked) == {LAN: "[Network]\nAddress=fd77::1/64\nAddress=10.77.0.62/24\nAddress=10.77.0.61/24\n"}


def test_fewer_addresses_than_before_take_what_is_said_of_them_along(tmp_path: Path, files: Files) -> None:
    managed(tmp_path, "[Network]\nAddress=10.77.0.10/24\n[Address]\nAddress=10.77.0.11/24\nLabel=vip\n[Route]\nX=1\n")
    (text,) = edits(files, change(ipv4_addresses=("10.77.0.10/24",))).values()
    assert text == "[Network]\nAddress=10.77.0.10/24\n[Address]\n[Route]\nX=1\n"


def test_no_address_means_dhcp_and_takes_the_gateway_with_it(tmp_path: Path, files: Files) -> None:
    managed(tmp_path, STATIC.replace("[Network] # no header: ours is above\n", ""))
    (text,) = edits(files, change(ipv4_addresses=())).values()
    assert "DHCP=ipv4\n" in str(text) and "Gateway" not in str(text) and "Address=fd77::10/64" in str(text)


def test_dhcp_for_the_other_family_stays_beside_it(tmp_path: Path, files: Files) -> None:
    managed(tmp_path, "[Network]\nDHCP=ipv6\nAddress=10.77.0.10/24\n")
    assert edits(files, change(ipv4_addresses=())) == {LAN: "[Network]\nDHCP=yes\n"}


def test_a_mac_for_one_of_several_links_of_a_file_is_refused(tmp_path: Path, files: Files) -> None:
    managed(tmp_path, "[Match]\nName=eth*\n")
    managed(tmp_path, "[Match]\nName=eth*\n", index=3)
    with pytest.raises(HostError, match="eth1 too"):
        networkd.set_profile(change(mac=NEW), (LINK, Link("eth1", 3, NEW, None, carrier=True)), files)


def test_a_link_that_has_another_file_by_now_is_not_changed(tmp_path: Path, files: Files) -> None:
    managed(tmp_path, STATIC, "/etc/systemd/network/05-other.network")
    with pytest.raises(HostError, match="any more"):
        networkd.set_profile(change(mac=NEW), (LINK,), files)


def test_networkd_reads_its_files_before_it_configures_the_link(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[str, ...]] = []
    monkeypatch.setattr(programs, "run", lambda argv, timeout_s: ran.append(argv))
    networkd.MANAGER.down("eth0")
    networkd.MANAGER.up("eth0")
    assert ran == [("networkctl", "reload"), ("networkctl", "reconfigure", "eth0")]
