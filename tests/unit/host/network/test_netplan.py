"""netplan's YAML: found over its files, changed in place, and nothing else of it."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest

from nodeprep.errors import HostError
from nodeprep.host import programs
from nodeprep.host.files import Files
from nodeprep.host.network import netplan, networkd
from nodeprep.model import Link
from nodeprep.steps import SetProfile
from tests.fakes.disk import put

pytest.importorskip("yaml")

MAC = "52:54:00:77:00:10"
NEW = "02:00:00:00:00:07"
LAN = "/etc/netplan/50-lan.yaml"
GENERATED = "/run/systemd/network/10-netplan-lan.network"
LINK = Link("eth0", 2, MAC, "52:54:00:00:00:01", carrier=True)
STATIC = f"""\
# the operator's
network:
  version: 2
  ethernets:
    other: {{dhcp4: true, macaddress: {MAC}}}
    lan:   # the LAN
      match:
        macaddress: {MAC}
      macaddress: {MAC}  # pinned
      addresses:
        - 10.77.0.10/24  # first
        - "fd77::10/64":
            label: six
      gateway4: 10.77.0.1
      nameservers: {{addresses: [10.77.0.1]}}
  vlans: {{}}
"""
FLOW = f"network: {{ethernets: {{lan: {{macaddress: {MAC}, addresses: [10.77.0.10/24, 'fd77::10/64'], mtu: 9000}}}}}}\n"


@pytest.fixture
def files(tmp_path: Path) -> Files:
    put(tmp_path, LAN, STATIC.encode(), 0o600)
    put(tmp_path, GENERATED, b"[Network]\nAddress=10.77.0.10/24\nAddress=fd77::10/64\n")
    put(tmp_path, "/run/systemd/netif/links/2", f"ADMIN_STATE=configured\nNETWORK_FILE={GENERATED}\n".encode())
    return Files("test", str(tmp_path))


def edits(files: Files, **values: Any) -> dict[str, str | None]:
    (profile,) = networkd.profiles([LINK], files)
    return netplan.edits(SetProfile("netplan:lan", "eth0", **values), "lan", netplan.adopted(profile), files)


def test_what_netplan_generated_is_netplans_and_the_rest_is_networkds(files: Files) -> None:
    (profile,) = networkd.profiles([LINK], files)
    adopted = netplan.adopted(profile)
    assert (adopted.key, adopted.title, adopted.manager) == ("netplan:lan", "netplan lan", "netplan")
    other = networkd.profile_of("eth0", "/etc/systemd/network/10-lan.network", files, 2)
    assert netplan.adopted(other) == other


def test_a_pin_is_dropped_and_the_match_stays(files: Files) -> None:
    assert edits(files, mac="") == {LAN: STATIC.replace(f"      macaddress: {MAC}  # pinned\n", "")}


def test_a_pin_is_replaced_and_the_match_stays(files: Files) -> None:
    assert edits(files, mac=NEW) == {LAN: STATIC.replace(f"{MAC}  # pinned", f'"{NEW}"  # pinned')}


def test_a_mac_where_none_was_pinned_is_added(tmp_path: Path, files: Files) -> None:
    text = STATIC.replace(f"      macaddress: {MAC}  # pinned\n", "")
    put(tmp_path, LAN, text.encode())
    (made,) = edits(files, mac=NEW).values()
    assert f'    lan:   # the LAN\n      macaddress: "{NEW}"\n      match:\n' in str(made)
    with pytest.raises(HostError, match="pins"):
        edits(files, mac="")


def test_a_new_address_stands_where_the_old_one_stood(files: Files) -> None:
    assert edits(files, ipv4_addresses=("10.77.0.61/24",)) == {LAN: STATIC.replace("10.77.0.10/24", '"10.77.0.61/24"')}
    assert edits(files, ipv6_addresses=("fd77::61/64",)) == {LAN: STATIC.replace("fd77::10", "fd77::61")}


def test_both_families_and_the_pin_at_once(files: Files) -> None:
    (made,) = edits(files, mac="", ipv4_addresses=("10.77.0.61/24",), ipv6_addresses=("fd77::61/64",)).values()
    assert "10.77.0.61" in str(made) and "fd77::61" in str(made) and "# pinned" not in str(made)


def test_no_address_means_dhcp_and_takes_the_gateway_with_it(files: Files) -> None:
    import yaml

    (made,) = edits(files, ipv4_addresses=()).values()
    lan = yaml.safe_load(str(made))["network"]["ethernets"]["lan"]
    assert lan["dhcp4"] is True and "gateway4" not in lan
    assert lan["addresses"] == [{"fd77::10/64": {"label": "six"}}]
    assert lan["nameservers"] == {"addresses": ["10.77.0.1"]}
    (made,) = edits(files, ipv4_addresses=(), ipv6_addresses=()).values()
    assert "addresses" not in yaml.safe_load(str(made))["network"]["ethernets"]["lan"]


@pytest.mark.parametrize(
    ("values", "lan"),
    [
        ({"mac": ""}, {"addresses": ["10.77.0.10/24", "fd77::10/64"], "mtu": 9000}),
        ({"mac": NEW}, {"macaddress": NEW, "addresses": ["10.77.0.10/24", "fd77::10/64"], "mtu": 9000}),
        ({"ipv4_addresses": ()}, {"macaddress": MAC, "addresses": ["fd77::10/64"], "mtu": 9000, "dhcp4": True}),
        (
            {"ipv4_addresses": ("10.0.0.1/24", "10.0.0.2/24")},
            {"macaddress": MAC, "addresses": ["10.0.0.1/24", "fd77::10/64", "10.0.0.2/24"], "mtu": 9000},
        ),
        ({"ipv6_addresses": ()}, {"macaddress": MAC, "addresses": ["10.77.0.10/24"], "mtu": 9000}),
    ],
)
def test_a_file_in_one_line_is_changed_in_one_line(
    tmp_path: Path, files: Files, values: dict[str, Any], lan: dict[str, Any]
) -> None:
    import yaml

    put(tmp_path, LAN, FLOW.encode())
    (made,) = edits(files, **values).values()
    assert len(str(made).splitlines()) == 1
    assert yaml.safe_load(str(made))["network"]["ethernets"]["lan"] == lan


def test_the_address_is_changed_in_the_file_that_sets_it(tmp_path: Path, files: Files) -> None:
    put(tmp_path, "/etc/netplan/90-more.yaml", b"network:\n  ethernets:\n    lan: {dhcp6: true}\n")
    put(tmp_path, "/lib/netplan/50-lan.yaml", b"hidden by the operator's\n")
    assert set(edits(files, ipv4_addresses=("10.77.0.61/24",))) == {LAN}
    assert netplan.sources(files) == (LAN, "/etc/netplan/90-more.yaml")


@pytest.mark.parametrize("text", ["", "network:\n", "network: [1]\n", "network: {ethernets: {lan: }}\n", "- a\n"])
def test_a_link_that_no_file_defines_is_not_changed(tmp_path: Path, files: Files, text: str) -> None:
    put(tmp_path, LAN, text.encode())
    with pytest.raises(HostError, match="defines lan"):
        edits(files, mac=NEW)


def test_yaml_that_is_none_is_told_with_its_file(tmp_path: Path, files: Files) -> None:
    put(tmp_path, LAN, b"network: {\n")
    with pytest.raises(HostError, match=LAN):
        edits(files, mac=NEW)


def test_without_a_parser_nothing_is_changed(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "yaml":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(HostError, match="python3-yaml"):
        edits(files, mac=NEW)


def test_a_mac_for_one_of_several_links_of_a_definition_is_refused(tmp_path: Path, files: Files) -> None:
    put(tmp_path, "/run/systemd/netif/links/3", f"ADMIN_STATE=configured\nNETWORK_FILE={GENERATED}\n".encode())
    with pytest.raises(HostError, match="several"):
        netplan.set_profile(
            SetProfile("netplan:lan", "eth0", mac=NEW), (LINK, Link("eth1", 3, NEW, None, carrier=True)), files
        )
    with pytest.raises(HostError, match="any more"):
        netplan.set_profile(SetProfile("netplan:lan", "eth7", mac=NEW), (LINK,), files)


def test_netplan_generates_before_networkd_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    monkeypatch.setattr(programs, "run", lambda argv, timeout_s: ran.append(" ".join(argv)))
    netplan.MANAGER.down("eth0")
    netplan.MANAGER.up("eth0")
    assert ran == ["netplan generate", "networkctl reload", "networkctl reconfigure eth0"]
