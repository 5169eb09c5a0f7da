"""The iptables backend against the kernel of this machine, in both worlds, with real listeners behind it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from nodeprep.errors import HostError
from nodeprep.host.firewall.iptables import Iptables
from nodeprep.host.firewall.nftables import Nftables
from nodeprep.model import Opening
from tests.contract.conftest import Namespace, Segment
from tests.contract.test_nftables import API, ECHO_OF_ANYONE, IP_IN_IP, NODEPORT_UDP, OPENINGS, SSH, VRRP, hears

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not shutil.which("iptables-legacy-save"), reason="needs the programs of the package iptables"),
]
WORLDS = ("legacy", "nft")
KUBERNETES = """\
*filter
:KUBE-FIREWALL - [0:0]
:KUBE-PROXY-FIREWALL - [0:0]
:cali-INPUT - [0:0]
:CILIUM_INPUT - [0:0]
:FLANNEL-FWD - [0:0]
-A INPUT -m comment --comment "cali:Cz_u1IQiXIMmKD4c" -j cali-INPUT
-A INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
-A INPUT -j KUBE-FIREWALL
-A INPUT -m comment --comment "cilium-feeder: CILIUM_INPUT" -j CILIUM_INPUT
-A FORWARD -m comment --comment "flanneld forward" -j FLANNEL-FWD
-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
-A cali-INPUT -m mark --mark 0x10000/0x10000 -j ACCEPT
-A CILIUM_INPUT -m mark --mark 0x200/0xf00 -j ACCEPT
COMMIT
"""
CLOSED = """\
*filter
:INPUT DROP [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p {icmp} -j ACCEPT
-A INPUT -p tcp -m tcp --dport 25 -m comment --comment "the operator's own" -j ACCEPT
COMMIT
"""
ENDS_IN_REJECT = "*filter\n-A INPUT -i lo -j ACCEPT\n-A INPUT -p {icmp} -j ACCEPT\n-A INPUT -j REJECT\nCOMMIT\n"
ENDS_IN_A_CHAIN = """\
*filter
:LOGDROP - [0:0]
-A INPUT -p {icmp} -j ACCEPT
-A INPUT -m conntrack --ctstate NEW -j LOGDROP
-A LOGDROP -j LOG --log-prefix "dropped "
-A LOGDROP -j DROP
COMMIT
"""


@pytest.fixture
def firewall(quiet_segment: Segment) -> Iptables:
    return Iptables(quiet_segment.inside.prefix)


def load(space: Namespace, world: str, rules: str) -> None:
    for program, icmp in (("iptables", "icmp"), ("ip6tables", "ipv6-icmp")):
        own = rules.replace("{icmp}", icmp)
        if icmp != "icmp":
            own = own.replace("! -s 127.0.0.0/8 -d 127.0.0.0/8", "! -s ::1 -d ::1")
        space.run(f"{program}-{world}-restore", "--noflush", stdin=own)


def saved(space: Namespace, world: str) -> str:
    """Return every table of a world, without counters and dates."""
    told = "".join(space.run(f"{program}-{world}-save") for program in ("iptables", "ip6tables"))
    return re.sub(r"(?m)^#.*\n|\[\d+:\d+\]", "", told)


@pytest.mark.parametrize("rules", [CLOSED, ENDS_IN_REJECT, ENDS_IN_A_CHAIN], ids=["policy", "reject", "chain"])
@pytest.mark.parametrize("world", WORLDS)
def test_what_an_operator_closes_answers_on_exactly_the_openings(
    segment: Segment, firewall: Iptables, world: str, rules: str
) -> None:
    inside, outside = segment.inside, segment.outside
    for port in (6443, 10257, 30000, 32768):
        inside.listen(port)
    udp_open, udp_closed = inside.bind_udp(31000), inside.bind_udp(8472)
    load(inside, world, rules)
    assert not answers(outside, inside.ipv4, 6443)
    for mode in ("open", "enforce"):
        firewall.apply(OPENINGS, mode, SSH)
        assert firewall.present(OPENINGS, mode, SSH)
        for address in (inside.ipv4, inside.ipv6):
            assert [port for port in (6443, 30000) if not answers(outside, address, port)] == []
            assert [port for port in (10257, 32768) if answers(outside, address, port)] == []
            assert outside.reaches(udp_open, address)
            assert not outside.reaches(udp_closed, address)


def answers(outside: Namespace, address: str, port: int) -> bool:
    try:
        return outside.connects(address, port)
    except OSError:
        return False  # a reject says so


@pytest.mark.parametrize("world", WORLDS)
def test_enforce_closes_everything_else_and_locks_nobody_out(segment: Segment, firewall: Iptables, world: str) -> None:
    inside, outside = segment.inside, segment.outside
    for port in (6443, 10257, 2222, 25):
        inside.listen(port)
    load(inside, world, "*filter\n-A INPUT -p tcp -m tcp --dport 25 -j ACCEPT\nCOMMIT\n")
    driven = firewall if world == "legacy" else OfTheNftWorld(inside.prefix)
    driven.apply((API,), "enforce", SSH)
    for space in (inside, outside):
        space.run("ip", "neighbour", "flush", "all")
    for address in (inside.ipv4, inside.ipv6):
        assert outside.pings(address)
        assert [port for port in (6443, 2222, 25) if not outside.connects(address, port)] == []
        assert not outside.connects(address, 10257)
    assert inside.connects("127.0.0.1", 10257)
    assert inside.connects("::1", 10257)
    client = inside.bind_udp(68)
    assert outside.reaches(client, inside.ipv4, source_port=67)
    assert not outside.reaches(client, inside.ipv4, source_port=1067)


class OfTheNftWorld(Iptables):
    """The backend of an operator who names it, where nothing is in use and iptables(8) is that of the nft world."""

    def _driven(self, seen: object) -> tuple[str, ...]:
        return ("nft",)


def test_only_what_is_in_use_is_driven_and_both_worlds_where_both_are(
    quiet_segment: Segment, firewall: Iptables
) -> None:
    space = quiet_segment.inside
    assert not firewall.active()
    load(space, "nft", CLOSED)
    assert firewall.active()
    firewall.apply(OPENINGS, "open", SSH)
    assert "NODEPREP" in saved(space, "nft")
    assert space.run("cat", "/proc/net/ip_tables_names") == "", "looking made tables of the legacy world"
    load(space, "legacy", "*filter\n-A INPUT -p tcp -m tcp --dport 25 -j DROP\nCOMMIT\n")
    assert not firewall.present(OPENINGS, "open", SSH)
    firewall.apply(OPENINGS, "open", SSH)
    assert firewall.present(OPENINGS, "open", SSH)
    assert "NODEPREP" in saved(space, "legacy")
    for program in ("iptables", "ip6tables"):
        space.run(f"{program}-nft", "-P", "INPUT", "ACCEPT")
    assert not firewall.present(OPENINGS, "open", SSH)
    firewall.apply(OPENINGS, "open", SSH)
    assert "NODEPREP" not in saved(space, "nft"), "nothing is left where nothing is driven any more"
    assert firewall.present(OPENINGS, "open", SSH)


@pytest.mark.parametrize(
    ("world", "rules", "counts"),
    [
        ("legacy", KUBERNETES, False),
        ("nft", KUBERNETES, False),
        ("legacy", "*filter\n-A INPUT -m mac --mac-source 02:00:00:00:00:01 -j DROP\nCOMMIT\n", True),
        ("nft", "*filter\n-A INPUT -m mac --mac-source 02:00:00:00:00:01 -j DROP\nCOMMIT\n", False),
        ("nft", "*filter\n-A INPUT -p tcp -j DROP\nCOMMIT\n", True),
        ("nft", "*filter\n:FORWARD DROP [0:0]\nCOMMIT\n", False),
        ("legacy", "*filter\n:INPUT DROP [0:0]\nCOMMIT\n", True),
    ],
    ids=["kube-legacy", "kube-nft", "any-legacy", "narrow-nft", "wide-nft", "forward-nft", "policy-legacy"],
)
def test_what_makes_it_the_backend_of_a_machine(
    quiet_segment: Segment, firewall: Iptables, world: str, rules: str, counts: bool
) -> None:
    load(quiet_segment.inside, world, rules)
    assert firewall.active() == counts


@pytest.mark.parametrize("world", WORLDS)
def test_rules_of_the_operator_and_of_kubernetes_stay_byte_for_byte(
    quiet_segment: Segment, firewall: Iptables, world: str
) -> None:
    space = quiet_segment.inside
    load(space, world, CLOSED)
    load(space, world, KUBERNETES)
    before = saved(space, world)
    for wanted, mode in ((OPENINGS, "enforce"), ((API,), "open"), ((API,), "open")):
        firewall.apply(wanted, mode, SSH)
        now = saved(space, world)
        assert now.count("-A INPUT -j NODEPREP-INPUT\n") == 2, "once for each family"
        assert re.sub(r".*NODEPREP.*\n", "", now) == before
    firewall.remove()
    firewall.remove()
    assert saved(space, world) == before


@pytest.mark.parametrize("world", WORLDS)
def test_what_is_closed_to_somebody_stays_closed_to_him(segment: Segment, firewall: Iptables, world: str) -> None:
    inside, outside = segment.inside, segment.outside
    outside.run("ip", "address", "add", "10.77.0.99/24", "dev", "v0")
    inside.listen(6443)
    load(inside, world, CLOSED.replace("COMMIT", "-A INPUT -m mac --mac-source 02:00:00:00:00:01 -j DROP\nCOMMIT"))
    inside.run(f"iptables-{world}", "-A", "INPUT", "-s", "10.77.0.99", "-j", "DROP")
    inside.run(f"iptables-{world}", "-A", "INPUT", "-m", "comment", "--comment", "the rest", "-j", "DROP")
    firewall.apply((API,), "open", SSH)
    assert outside.connects(inside.ipv4, 6443)
    assert not outside.connects(inside.ipv4, 6443, "10.77.0.99")


@pytest.mark.parametrize("world", WORLDS)
def test_sources_limit_who_is_let_in(segment: Segment, firewall: Iptables, world: str) -> None:
    inside, outside = segment.inside, segment.outside
    outside.run("ip", "address", "add", "10.77.0.99/24", "dev", "v0")
    outside.run("ip", "address", "add", "fd77::99/64", "dev", "v0", "nodad")
    load(inside, world, CLOSED)
    inside.listen(10250)
    inside.listen(10256)
    wanted = (
        Opening("tcp", 10250, 10250, "kubelet API", "worker", ("10.77.0.0/28", "10.8.0.7/32", "fd77::/124")),
        Opening("tcp", 10256, 10256, 'kube-proxy\'s "health" `ä`', "worker", ("0.0.0.0/0",)),
    )
    firewall.apply(wanted, "open", SSH)
    assert firewall.present(wanted, "open", SSH)
    assert outside.connects(inside.ipv4, 10250, "10.77.0.2")
    assert outside.connects(inside.ipv6, 10250, "fd77::2")
    assert not outside.connects(inside.ipv4, 10250, "10.77.0.99")
    assert not outside.connects(inside.ipv6, 10250, "fd77::99")
    assert outside.connects(inside.ipv4, 10256)
    assert not outside.connects(inside.ipv6, 10256)


@pytest.mark.parametrize("world", WORLDS)
def test_a_protocol_without_ports_passes_where_it_is_open(segment: Segment, firewall: Iptables, world: str) -> None:
    load(segment.inside, world, CLOSED)
    firewall.apply((API,), "open", SSH)
    assert not hears(segment, 4, "10.77.0.2")
    wanted = (ECHO_OF_ANYONE, IP_IN_IP, VRRP, API)
    firewall.apply(wanted, "open", SSH)
    assert firewall.present(wanted, "open", SSH)
    assert hears(segment, 4, "10.77.0.2")
    assert hears(segment, 112, "fd77::2")
    assert not hears(segment, 50, "10.77.0.2")


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize(
    "damage",
    [
        "-F",
        "-F NODEPREP-INPUT",
        "-D INPUT -j NODEPREP-INPUT",
        "-A INPUT -j NODEPREP-INPUT",
        "-I NODEPREP-INPUT -j DROP",
        "-I INPUT -p tcp -j REJECT",
        "-A NODEPREP-INPUT -p tcp --dport 1000 -j ACCEPT",
    ],
)
def test_damage_from_outside_is_seen_and_healed(
    quiet_segment: Segment, firewall: Iptables, world: str, damage: str
) -> None:
    load(quiet_segment.inside, world, CLOSED)
    firewall.apply(OPENINGS, "open", SSH)
    assert firewall.present(OPENINGS, "open", SSH)
    quiet_segment.inside.run(f"iptables-{world}", *damage.split())
    assert not firewall.present(OPENINGS, "open", SSH)
    firewall.apply(OPENINGS, "open", SSH)
    assert firewall.present(OPENINGS, "open", SSH)


@pytest.mark.parametrize("world", WORLDS)
def test_a_failing_transaction_changes_nothing(quiet_segment: Segment, firewall: Iptables, world: str) -> None:
    space = quiet_segment.inside
    load(space, world, CLOSED)
    firewall.apply(OPENINGS, "open", SSH)
    before = saved(space, world)
    with pytest.raises(HostError, match="70000"):
        firewall.apply((API, Opening("tcp", 70000, 70000, "none", "bad")), "open", SSH)
    with pytest.raises(HostError, match="70000"):  # IPv4 is loaded before IPv6 is refused
        firewall.apply((API, Opening("tcp", 70000, 70000, "none", "bad", ("fd00::/8",))), "enforce", SSH)
    with pytest.raises(HostError, match="nowhere"):
        firewall.apply((Opening("tcp", 7000, 7000, "none", "bad", ("nowhere",)),), "open", SSH)
    with pytest.raises(ValueError, match="enforce"):
        firewall.apply(OPENINGS, "closed", SSH)
    assert saved(space, world) == before


def test_a_table_of_that_name_that_nft_made_is_none_of_ours(quiet_segment: Segment, firewall: Iptables) -> None:
    table = "table ip filter { chain input { type filter hook input priority 0; policy drop; }; }"
    quiet_segment.inside.run("nft", "-f", "-", stdin=table)
    assert not firewall.active()


def test_the_legacy_world_is_told_of_where_another_backend_opens(quiet_segment: Segment, firewall: Iptables) -> None:
    assert firewall.closed_by(OPENINGS) == ()
    rules = CLOSED.replace("--dport 25", "-m multiport --dports 25,6000:7000")
    load(quiet_segment.inside, "legacy", rules)
    Nftables(quiet_segment.inside.prefix).apply(OPENINGS, "open", SSH)
    closing = firewall.closed_by(OPENINGS)
    titles = [(chain.title, chain.reason) for chain in closing]
    assert titles == [
        ("iptables-legacy chain INPUT", "policy drop"),
        ("ip6tables-legacy chain INPUT", "policy drop"),
    ]
    assert API not in closing[0].openings
    assert NODEPORT_UDP in closing[0].openings
    firewall.apply(OPENINGS, "open", SSH)
    assert firewall.closed_by(OPENINGS) == ()


@pytest.mark.parametrize("world", WORLDS)
def test_a_rule_of_an_operator_s_before_our_jump_is_told_of_and_what_nft_shows_of_it_is_not(
    quiet_segment: Segment, firewall: Iptables, world: str
) -> None:
    api = f"-p {API.protocol} --dport {API.ports}"
    load(quiet_segment.inside, world, CLOSED)
    firewall.apply(OPENINGS, "open", SSH)
    assert firewall.closed_by(OPENINGS, Nftables(quiet_segment.inside.prefix).closed_by(OPENINGS)) == ()
    quiet_segment.inside.run(f"iptables-{world}", "-I", "INPUT", *api.split(), "-j", "DROP")
    closing = firewall.closed_by(OPENINGS, Nftables(quiet_segment.inside.prefix).closed_by(OPENINGS))
    assert [(chain.title, chain.reason, chain.openings) for chain in closing] == [
        (f"iptables-{world} chain INPUT", "a rule drops it", (API,))
    ]


def test_without_its_programs_there_is_nothing_to_drive(
    quiet_segment: Segment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("ip", "cat"):
        (tmp_path / name).symlink_to(shutil.which(name) or name)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not Iptables(quiet_segment.inside.prefix).active()
    with pytest.raises(HostError, match="iptables"):
        Iptables().apply(OPENINGS, "open", SSH)
