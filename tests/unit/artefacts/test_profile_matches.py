"""MACs that profiles match: found in files of every kind, and replaced where there is nothing to guess."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodeprep.apply import perform
from nodeprep.artefacts.profile_matches import RENAME, UDEVD, in_sections, in_yaml, matched, observe, plan
from nodeprep.host.local import LocalMachine
from nodeprep.model import Finding, Link, Verdict
from nodeprep.steps import Action, Fresh, ReplaceText, RunProgram, Situation
from tests.fakes.disk import put

OLD = "52:54:00:77:00:10"
OTHER = "52:54:00:77:00:11"
NEW = "52:54:00:00:00:01"
FRESH = Fresh("f" * 32, b"", "02:00:00:00:00:07", "/staging")
NETWORK = "/etc/systemd/network/10-lan.network"


def links(*macs: str) -> tuple[Link, ...]:
    return tuple(Link(f"eth{number}", number, mac, mac, carrier=True) for number, mac in enumerate(macs))


def planned(machine: LocalMachine, situation: Situation) -> tuple[Action, ...]:
    reading = observe(machine)
    assert isinstance(reading, frozenset)
    return plan(Finding("profile-matches", Verdict.INHERITED, reading), FRESH, situation)


def mended(root: Path, *macs: str) -> None:
    machine = LocalMachine("test", str(root))
    for action in planned(machine, Situation(links=links(*macs))):
        perform(action, machine)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (NETWORK, "[Link]\nMACAddress={0}\n[Match]\n# {0}\nMACAddress={1}\n"),
        (f"{NETWORK}.d/x.conf", "[Match]\nPermanentMACAddress=02:00:00:00:00:99 {1}\n"),
        ("/etc/systemd/network/10-lan.link", "[Match]\nMACAddress = {1}\n[Link]\nName=lan\nMACAddress={0}\n"),
        (
            "/etc/NetworkManager/system-connections/lan.nmconnection",
            "[ethernet]\ncloned-mac-address={0}\nmac-address={1}\nmac-address-blacklist={0}\n",
        ),
        (
            "/etc/netplan/50-lan.yaml",
            "network:\n ethernets:\n  lan:\n   macaddress: {0}\n   match:\n    name: e*\n    macaddress: '{1}' #{0}\n",
        ),
        (
            "/etc/netplan/50-lan.yaml",
            "network: {{ethernets: {{lan: {{macaddress: {0}, match: {{macaddress: {1}}}}}}}}}\n",
        ),
        ("/run/systemd/network/10-netplan-lan.network", "[Match]\nPermanentMACAddress={1}\n\n[Link]\nMACAddress={0}\n"),
        ("/run/udev/rules.d/99-netplan-lan0.rules", '# {0}\nACTION=="add", ATTR{{address}}=="{1}", NAME="lan0"\n'),
    ],
)
def test_what_is_matched_is_replaced_and_what_is_pinned_stays(tmp_path: Path, path: str, text: str) -> None:
    put(tmp_path, path, text.format(OLD, OLD).encode())
    if "02:00:00:00:00:99" in text:  # one that another link of this machine has
        mended(tmp_path, NEW, "02:00:00:00:00:99")
    else:
        mended(tmp_path, NEW)
    assert Path(f"{tmp_path}{path}").read_text() == text.format(OLD, NEW)


def test_case_does_not_matter(tmp_path: Path) -> None:
    put(tmp_path, NETWORK, b"[match]\nmacaddress=52:54:00:AA:BB:CC\n")
    mended(tmp_path, NEW)
    assert Path(f"{tmp_path}{NETWORK}").read_text() == f"[match]\nmacaddress={NEW}\n"


@pytest.mark.parametrize(
    ("files", "own"),
    [
        ([OLD], ()),
        ([OLD], (OLD,)),
        ([OLD], (NEW, OTHER)),
        ([OLD, OTHER], (NEW,)),
        ([OLD, OTHER], (NEW, "52:54:00:00:00:02")),
    ],
    ids=["no link", "its own", "two links", "two MACs", "two of both"],
)
def test_where_several_could_be_meant_nothing_is_guessed(
    tmp_path: Path, files: list[str], own: tuple[str, ...]
) -> None:
    for number, mac in enumerate(files):
        put(tmp_path, f"/etc/systemd/network/{number}.network", f"[Match]\nMACAddress={mac}\n".encode())
    assert planned(LocalMachine("test", str(tmp_path)), Situation(links=links(*own))) == ()


def test_one_of_two_links_is_matched_already(tmp_path: Path) -> None:
    put(tmp_path, "/etc/systemd/network/0.network", f"[Match]\nMACAddress={OLD}\n".encode())
    put(tmp_path, "/etc/systemd/network/1.network", f"[Match]\nMACAddress={OTHER}\n".encode())
    mended(tmp_path, OTHER, NEW)
    assert NEW in Path(f"{tmp_path}/etc/systemd/network/0.network").read_text()


def test_links_are_named_anew_before_profiles_look_for_them(tmp_path: Path) -> None:
    put(tmp_path, NETWORK, f"[Match]\nMACAddress={OLD}\n".encode())
    put(tmp_path, "/etc/systemd/network/99-lan.link", f"[Match]\nMACAddress={OLD}\n".encode())
    machine = LocalMachine("test", str(tmp_path))
    actions = planned(machine, Situation(links=links(NEW), active_units=frozenset({UDEVD})))
    named, *renamed, last = actions
    assert isinstance(named, ReplaceText) and named.path.endswith(".link")
    assert [action.argv for action in renamed if isinstance(action, RunProgram)] == list(RENAME)
    assert isinstance(last, ReplaceText) and last.path == NETWORK
    without = planned(machine, Situation(links=links(NEW)))
    assert all(isinstance(action, ReplaceText) for action in without)


def test_a_link_whose_hardware_says_no_mac_is_not_matched(tmp_path: Path) -> None:
    put(tmp_path, NETWORK, f"[Match]\nMACAddress={OLD}\n".encode())
    bridge = Link("br0", 3, NEW, None, carrier=True)
    assert planned(LocalMachine("test", str(tmp_path)), Situation(links=(bridge,))) == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "match:\n",
        f"match:\nmacaddress: {OLD}\n",
        f"# match: {{macaddress: {OLD}}}\n",
        f"a:\n  match: {{name: x}}\n  macaddress: {OLD}\n",
        f"a:\n  match:\n    # macaddress: {OLD}\n    name: x\n  macaddress: {OLD}\n",
        "match: {macaddress: nonsense}\n\t\ufffd",
    ],
)
def test_yaml_in_which_nothing_is_matched(text: str) -> None:
    assert list(in_yaml(text)) == []


@pytest.mark.parametrize(
    "text", ["MACAddress=52:54:00:77:00:10\n", "[Match]\nMACAddress=nonsense\n", "[Match\n", "=\n"]
)
def test_sections_in_which_nothing_is_matched(text: str) -> None:
    assert list(in_sections(text)) == []


def test_a_value_ends_in_its_mac(tmp_path: Path) -> None:
    put(tmp_path, NETWORK, b"[Match]\nMACAddress=52:54:00:AA:BB:CC\n")
    (value,) = observe(LocalMachine("test", str(tmp_path)))  # type: ignore[misc]
    assert value == f"{NETWORK}\n[Match]\nMACAddress=52:54:00:AA:BB:CC"
    assert matched(value) == "52:54:00:aa:bb:cc"
