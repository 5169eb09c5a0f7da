"""The nftables backend against the nft and the kernel of this machine, with real listeners behind it."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from nodeprep.errors import HostError
from nodeprep.host.firewall.nftables import Nftables
from nodeprep.model import Opening
from tests.contract.conftest import Segment

pytestmark = pytest.mark.root

API = Opening("tcp", 6443, 6443, "API server", "control-plane")
NODEPORT_TCP = Opening("tcp", 30000, 32767, "NodePort services", "worker")
NODEPORT_UDP = Opening("udp", 30000, 32767, "NodePort services", "worker")
INPUT = "type filter hook input priority 0;"
OPENINGS = (API, NODEPORT_TCP, NODEPORT_UDP)
SSH = (2222,)

OPERATOR = """
table inet filter {
  comment "the operator's own"
  set blocked { type ipv4_addr; flags interval; elements = { 192.0.2.0/24, 198.51.100.7 } }
  chain input {
    type filter hook input priority filter; policy accept;
    ip saddr @blocked counter drop
    tcp dport { 25, 8000-8100 } log prefix "seen " accept comment "mail and 'more'"
  }
  chain forward { type filter hook forward priority filter; policy drop; }
}
"""


@pytest.fixture
def firewall(quiet_segment: Segment) -> Nftables:
    return Nftables(quiet_segment.inside.prefix)


def test_a_change_of_any_rule_is_told_and_of_legacy_tables_that_they_are_there(quiet_segment: Segment) -> None:
    code = (
        "import subprocess\n"
        "from nodeprep.host.monitor import RulesetMonitor, has_legacy_tables\n"
        "news, heard = RulesetMonitor(), []\n"
        "for words in ('nft list ruleset', 'nft add table inet operator', 'iptables-nft -A INPUT -j ACCEPT',\n"
        "              'iptables-legacy -A INPUT -j ACCEPT'):\n"
        "    subprocess.run(words.split(), check=True, capture_output=True)\n"
        "    heard.append((news.read(), has_legacy_tables()))\n"
        "print(heard)\n"
    )
    environment = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    told = quiet_segment.inside.run("env", *map("=".join, environment.items()), sys.executable, "-c", code)
    assert told.strip() == str([(False, False), (True, False), (True, False), (False, True)])


def test_enforce_answers_on_exactly_the_openings(segment: Segment, firewall: Nftables) -> None:
    inside, outside = segment.inside, segment.outside
    for port in (6443, 10257, 29999, 30000, 32767, 32768):
        inside.listen(port)
    udp_open, udp_closed = inside.bind_udp(31000), inside.bind_udp(8472)
    firewall.apply(OPENINGS, "enforce", SSH)
    for address in (inside.ipv4, inside.ipv6):
        assert [port for port in (6443, 30000, 32767) if not outside.connects(address, port)] == []
        assert [port for port in (10257, 29999, 32768) if outside.connects(address, port)] == []
        assert outside.reaches(udp_open, address)
        assert not outside.reaches(udp_closed, address)


@pytest.mark.parametrize(("ssh_ports", "listening"), [((2222, 2022), 2022), ((), 22)])
def test_enforce_never_locks_out_ssh(
    segment: Segment, firewall: Nftables, ssh_ports: tuple[int, ...], listening: int
) -> None:
    segment.inside.listen(listening)
    firewall.apply((), "enforce", ssh_ports)
    assert segment.outside.connects(segment.inside.ipv4, listening)
    assert segment.outside.connects(segment.inside.ipv6, listening)


def test_enforce_passes_ping_and_neighbour_discovery(segment: Segment, firewall: Nftables) -> None:
    firewall.apply((), "enforce", SSH)
    for space in (segment.inside, segment.outside):
        space.run("ip", "neighbour", "flush", "all")
    assert segment.outside.pings(segment.inside.ipv4)
    assert segment.outside.pings(segment.inside.ipv6)


def test_enforce_passes_loopback_and_dhcp_replies(segment: Segment, firewall: Nftables) -> None:
    segment.inside.listen(10257)
    client, other = segment.inside.bind_udp(68), segment.inside.bind_udp(69)
    firewall.apply((), "enforce", SSH)
    assert segment.inside.connects("127.0.0.1", 10257)
    assert segment.inside.connects("::1", 10257)
    assert segment.outside.reaches(client, segment.inside.ipv4, source_port=67)
    assert not segment.outside.reaches(client, segment.inside.ipv4, source_port=1067)
    assert not segment.outside.reaches(other, segment.inside.ipv4, source_port=67)


def test_a_dhcpv6_reply_passes_to_the_link_local_address_only(segment: Segment, firewall: Nftables) -> None:
    client = segment.inside.bind_udp(546)
    for space, address in ((segment.inside, "fe80::77/64"), (segment.outside, "fe80::78/64")):
        space.run("ip", "address", "add", address, "dev", "v0", "nodad")
    firewall.apply((), "enforce", SSH)
    assert segment.outside.reaches(client, "fe80::77")
    assert not segment.outside.reaches(client, segment.inside.ipv6)


def test_enforce_passes_what_was_established_and_what_this_machine_began(segment: Segment, firewall: Nftables) -> None:
    inside, outside = segment.inside, segment.outside
    listener, remote = inside.listen(6443), outside.listen(443)
    firewall.apply(OPENINGS, "open", SSH)
    client = outside.make_socket(socket.SOCK_STREAM, socket.AF_INET)
    client.connect((inside.ipv4, 6443))
    server, _ = listener.accept()
    firewall.apply((), "enforce", SSH)
    client.sendall(b"still here")
    assert server.recv(64) == b"still here"
    assert not outside.connects(inside.ipv4, 6443)
    assert inside.connects(outside.ipv6, 443)
    for each in (server, remote):
        each.close()


def test_open_closes_nothing_and_shows_the_openings(segment: Segment, firewall: Nftables) -> None:
    for port in (6443, 10257):
        segment.inside.listen(port)
    firewall.apply(OPENINGS, "open", SSH)
    assert segment.outside.connects(segment.inside.ipv4, 6443)
    assert segment.outside.connects(segment.inside.ipv4, 10257)
    assert firewall.observe() == OPENINGS


def test_sources_limit_who_is_let_in(segment: Segment, firewall: Nftables) -> None:
    inside, outside = segment.inside, segment.outside
    outside.run("ip", "address", "add", "10.77.0.99/24", "dev", "v0")
    outside.run("ip", "address", "add", "fd77::99/64", "dev", "v0", "nodad")
    inside.listen(10250)
    inside.listen(10256)
    kubelet = Opening("tcp", 10250, 10250, "kubelet API", "worker", ("10.77.0.0/28", "fd77::/124"))
    ipv4_only = Opening("tcp", 10256, 10256, "kube-proxy health", "worker", ("0.0.0.0/0",))
    firewall.apply((kubelet, ipv4_only), "enforce", SSH)
    assert outside.connects(inside.ipv4, 10250, "10.77.0.2")
    assert outside.connects(inside.ipv6, 10250, "fd77::2")
    assert not outside.connects(inside.ipv4, 10250, "10.77.0.99")
    assert not outside.connects(inside.ipv6, 10250, "fd77::99")
    assert outside.connects(inside.ipv4, 10256)
    assert not outside.connects(inside.ipv6, 10256)
    assert firewall.observe() == (kubelet, ipv4_only)


def test_overlapping_openings_load_and_pass_the_union(segment: Segment, firewall: Nftables) -> None:
    segment.inside.listen(31000)
    segment.inside.listen(31001)
    overlapping = (
        Opening("tcp", 30000, 32767, "NodePort", "worker", ("10.0.0.0/25", "10.0.0.0/24", "fd00::/64")),
        Opening("tcp", 31000, 31000, "dashboard", "own", ("10.77.0.0/24", "10.0.0.128/25")),
        Opening("tcp", 32000, 33000, "more", "own"),
    )
    firewall.apply(overlapping, "enforce", SSH)
    assert firewall.present(overlapping, "enforce", SSH)
    assert segment.outside.connects(segment.inside.ipv4, 31000)
    assert not segment.outside.connects(segment.inside.ipv4, 31001)


IP_IN_IP = Opening("ip-in-ip", 0, 0, "IP in IP", "calico", ("10.77.0.0/28", "fd77::/124"))
VRRP = Opening("vrrp", 0, 0, "virtual address", "load-balancer")
ECHO = Opening("icmp-echo", 0, 0, "health checks", "cilium", ("10.77.0.0/28", "fd77::/124"))
ECHO_OF_ANYONE = Opening("icmp-echo", 0, 0, "health checks", "cilium")


def hears(segment: Segment, protocol: int, source: str) -> bool:
    """Say whether a packet of an IP protocol gets to a process: raw sockets come after the hook of a firewall."""
    ipv6 = ":" in source
    family = socket.AF_INET6 if ipv6 else socket.AF_INET
    receiver = segment.inside.make_socket(socket.SOCK_RAW, family, protocol)
    sender = segment.outside.make_socket(socket.SOCK_RAW, family, protocol)
    sender.bind((source, 0))
    # A whole IPv4 header, which is what a tunnel would look for.
    inner = bytes.fromhex("45000014000040004011000001010101 02020202".replace(" ", ""))
    sender.sendto(inner, (segment.inside.ipv6 if ipv6 else segment.inside.ipv4, 0))
    try:
        return receiver.recv(128).endswith(inner)
    except TimeoutError:
        return False
    finally:
        sender.close()
        receiver.close()


@pytest.mark.parametrize(("opening", "protocol"), [(IP_IN_IP, 4), (VRRP, 112)])
def test_a_protocol_without_ports_passes_where_it_is_open_and_nowhere_else(
    segment: Segment, firewall: Nftables, opening: Opening, protocol: int
) -> None:
    outside = segment.outside
    outside.run("ip", "address", "add", "10.77.0.99/24", "dev", "v0")
    outside.run("ip", "address", "add", "fd77::99/64", "dev", "v0", "nodad")
    firewall.apply((API,), "enforce", SSH)
    assert not hears(segment, protocol, "10.77.0.2")
    assert not hears(segment, protocol, "fd77::2")
    firewall.apply((opening, API), "enforce", SSH)
    assert hears(segment, protocol, "10.77.0.2")
    assert hears(segment, protocol, "fd77::2")
    for stranger in ("10.77.0.99", "fd77::99"):
        assert hears(segment, protocol, stranger) == (not opening.sources)
    assert not hears(segment, 50, "10.77.0.2")
    assert firewall.observe() == (opening, API)


def test_a_ping_is_answered_whoever_an_opening_for_it_names(segment: Segment, firewall: Nftables) -> None:
    for wanted in ((ECHO,), (ECHO_OF_ANYONE,)):
        firewall.apply(wanted, "enforce", SSH)
        assert firewall.observe() == wanted
        assert segment.outside.pings(segment.inside.ipv4)
        assert segment.outside.pings(segment.inside.ipv6)


def test_protocols_without_ports_are_recognised_and_loaded_again(quiet_segment: Segment, firewall: Nftables) -> None:
    anyone = Opening("tcp", 30000, 32767, "NodePort services", "worker", ("0.0.0.0/0", "::/0"))
    wanted = (ECHO, IP_IN_IP, VRRP, anyone)
    firewall.apply(wanted, "enforce", SSH)
    assert firewall.present(wanted, "enforce", SSH)
    assert not firewall.present((IP_IN_IP, VRRP, anyone), "enforce", SSH)
    assert not firewall.present((ECHO_OF_ANYONE, IP_IN_IP, VRRP, anyone), "enforce", SSH)
    saved = quiet_segment.inside.run("nft", "list", "ruleset")
    quiet_segment.inside.run("nft", "-f", "-", stdin=f"flush ruleset\n{saved}")
    assert firewall.present(wanted, "enforce", SSH)
    assert firewall.observe() == wanted
    quiet_segment.inside.run("nft", "add", "element", "inet", "nodeprep", "ip_any", "{ 47 }")
    assert not firewall.present(wanted, "enforce", SSH)


def test_tables_of_the_operator_stay_byte_for_byte(quiet_segment: Segment, firewall: Nftables) -> None:
    quiet_segment.inside.run("nft", "-f", "-", stdin=OPERATOR)
    before = quiet_segment.inside.run("nft", "-j", "list", "table", "inet", "filter")
    firewall.apply(OPENINGS, "enforce", SSH)
    firewall.apply((API,), "open", SSH)
    assert quiet_segment.inside.run("nft", "-j", "list", "table", "inet", "filter") == before
    firewall.remove()
    assert quiet_segment.inside.run("nft", "-j", "list", "table", "inet", "filter") == before


def test_forwarded_pods_meet_no_chain_of_ours(quiet_segment: Segment, firewall: Nftables) -> None:
    firewall.apply(OPENINGS, "enforce", SSH)
    listed = json.loads(quiet_segment.inside.run("nft", "-j", "list", "chains"))["nftables"]
    assert [made["chain"]["hook"] for made in listed if "chain" in made] == ["input"]


def test_a_failing_transaction_leaves_the_former_in_place(quiet_segment: Segment, firewall: Nftables) -> None:
    firewall.apply(OPENINGS, "enforce", SSH)
    before = quiet_segment.inside.run("nft", "-j", "list", "ruleset")
    with pytest.raises(HostError, match="out of range"):
        firewall.apply((Opening("tcp", 70000, 70000, "none", "bad"),), "enforce", SSH)
    with pytest.raises(HostError, match="nowhere"):
        firewall.apply((Opening("tcp", 7000, 7000, "none", "bad", ("nowhere",)),), "enforce", SSH)
    with pytest.raises(ValueError, match="enforce"):
        firewall.apply(OPENINGS, "closed", SSH)
    assert quiet_segment.inside.run("nft", "-j", "list", "ruleset") == before


def test_remove_undoes_exactly_what_apply_did(segment: Segment, firewall: Nftables) -> None:
    segment.inside.listen(10257)
    before = segment.inside.run("nft", "list", "ruleset")
    firewall.apply(OPENINGS, "enforce", SSH)
    assert not segment.outside.connects(segment.inside.ipv4, 10257)
    firewall.remove()
    firewall.remove()
    assert segment.outside.connects(segment.inside.ipv4, 10257)
    assert segment.inside.run("nft", "list", "ruleset") == before
    assert firewall.observe() == ()


def test_what_is_loaded_is_recognised_so_that_an_unchanged_boot_writes_nothing(firewall: Nftables) -> None:
    wanted = (*OPENINGS, Opening("udp", 8472, 8472, 'VXLAN "flannel" ' + "ä" * 200, "x", ("10.0.0.7/32", "fd00::/8")))
    assert not firewall.present(wanted, "enforce", SSH)
    for mode in ("enforce", "open", "open"):
        firewall.apply(wanted, mode, SSH)
        assert firewall.present(reversed(wanted), mode, SSH)
    assert not firewall.present(wanted, "enforce", SSH)
    assert not firewall.present(OPENINGS, "open", SSH)
    assert not firewall.present(wanted, "open", (22,))


@pytest.mark.parametrize(
    "damage",
    [
        "flush ruleset",
        "flush chain inet nodeprep input",
        "flush set inet nodeprep tcp_any",
        "add element inet nodeprep tcp_any { 1000 }",
        "add element inet nodeprep udp_ipv4 { 10.0.0.1-10.0.0.6 . 1000 }",
        "insert rule inet nodeprep input tcp dport 6443 drop",
        "add chain inet nodeprep other { type filter hook input priority 0; policy drop; }",
        "add chain inet nodeprep input { policy accept; }",
    ],
)
def test_damage_from_outside_is_seen_and_healed(quiet_segment: Segment, firewall: Nftables, damage: str) -> None:
    firewall.apply(OPENINGS, "enforce", SSH)
    quiet_segment.inside.run("nft", "-f", "-", stdin=damage)
    assert not firewall.present(OPENINGS, "enforce", SSH)
    firewall.apply(OPENINGS, "enforce", SSH)
    assert firewall.present(OPENINGS, "enforce", SSH)


def test_sets_that_no_rule_reads_are_not_openings(quiet_segment: Segment, firewall: Nftables) -> None:
    firewall.apply(OPENINGS, "enforce", SSH)
    quiet_segment.inside.run("nft", "flush", "chain", "inet", "nodeprep", "input")
    assert firewall.observe() == ()


def test_a_saved_ruleset_of_ours_can_be_loaded_again(quiet_segment: Segment, firewall: Nftables) -> None:
    wanted = (*OPENINGS, Opening("tcp", 179, 179, 'BGP "peers"', "calico", ("10.0.0.0/8", "fd00::/8")))
    firewall.apply(wanted, "enforce", SSH)
    saved = quiet_segment.inside.run("nft", "list", "ruleset")
    quiet_segment.inside.run("nft", "-f", "-", stdin=f"flush ruleset\n{saved}")
    assert firewall.present(wanted, "enforce", SSH)


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (
            "inet mine { chain in { type filter hook input priority 0; policy drop; tcp dport 22 accept; }; }",
            "policy drop",
        ),
        ("ip mine { chain in { type filter hook input priority 0; ct state new counter reject; }; }", ""),
        ("ip mine { chain in { type filter hook input priority 0; counter reject; }; }", "ends in reject"),
        ("ip6 mine { chain in { type filter hook input priority 9; iif lo accept; log drop; }; }", "ends in drop"),
        ("inet mine { chain in { type filter hook input priority 0; policy accept; tcp dport 25 drop; }; }", ""),
        ("inet mine { chain in { type filter hook input priority 0; tcp dport 6443 drop; }; }", "a rule drops it"),
        (
            "inet mine { chain in { type filter hook input priority 0; th dport 6000-7000 reject; }; }",
            "a rule drops it",
        ),
        (f"inet mine {{ chain in {{ {INPUT} th dport 6443 accept; th dport 1-7000 drop; }}; }}", ""),
        ("inet mine { chain in { type filter hook input priority 0; ip saddr 10.0.0.9 tcp dport 6443 drop; }; }", ""),
        ("inet mine { chain in { type filter hook input priority 0; udp dport 6443 drop; }; }", ""),
        ("inet mine { chain in { type filter hook forward priority 0; policy drop; }; }", ""),
        ("inet mine { chain in { drop; }; }", ""),
        ("ip kube-proxy { chain in { type filter hook input priority 0; policy drop; }; }", ""),
        ("ip mine { chain KUBE-FIREWALL { type filter hook input priority 0; policy drop; }; }", ""),
        ("inet cali { chain in { type filter hook input priority 0; policy drop; }; }", ""),
    ],
)
def test_a_chain_of_others_that_may_close_an_opening_is_named(
    quiet_segment: Segment, firewall: Nftables, table: str, reason: str
) -> None:
    firewall.apply((API,), "enforce", SSH)
    quiet_segment.inside.run("nft", "-f", "-", stdin=f"table {table}")
    named = [(chain.title, chain.reason, chain.openings) for chain in firewall.closed_by((API,))]
    family = table.split(maxsplit=1)[0]
    assert named == ([(f"table {family} mine chain in", reason, (API,))] if reason else [])


@pytest.mark.parametrize(
    ("rule", "shut"),
    [
        ("tcp dport 6443 accept", (NODEPORT_TCP, NODEPORT_UDP)),
        ("ct state new tcp dport { 22, 6000-7000 } counter accept", (NODEPORT_TCP, NODEPORT_UDP)),
        ("th dport 30000-32767 accept", (API,)),
        ("tcp dport 30000-31000 accept", OPENINGS),
        ("ip saddr 10.0.0.1 tcp dport 6443 accept", OPENINGS),
        ("ct state established,related accept", OPENINGS),
        ("tcp dport != 6443 accept", OPENINGS),
        ("ct mark 5 accept", OPENINGS),
        ("tcp dport @some accept", OPENINGS),
        ("udp dport 6443 accept", OPENINGS),
        ("counter accept", ()),
    ],
)
def test_an_opening_that_the_chain_plainly_accepts_is_not_called_closed(
    quiet_segment: Segment, firewall: Nftables, rule: str, shut: tuple[Opening, ...]
) -> None:
    some = "set some { type inet_service; elements = { 6443 }; }"
    chain = f"chain in {{ type filter hook input priority 0; policy drop; {rule}; }}"
    quiet_segment.inside.run("nft", "-f", "-", stdin=f"table inet mine {{ {some}; {chain}; }}")
    assert [chain.openings for chain in firewall.closed_by(OPENINGS)] == ([shut] if shut else [])


@pytest.mark.parametrize(
    ("rule", "shut"),
    [
        ("meta l4proto 4 accept", (ECHO_OF_ANYONE,)),
        ("meta l4proto { icmp, ipencap } accept", ()),
        ("ip protocol ipencap accept", (ECHO_OF_ANYONE,)),
        ("icmp type echo-request accept", (IP_IN_IP,)),
        ("icmp type { echo-request, echo-reply } accept", (IP_IN_IP,)),
        ("meta l4proto != 4 accept", (ECHO_OF_ANYONE, IP_IN_IP)),
        ("tcp dport 0-65535 accept", (ECHO_OF_ANYONE, IP_IN_IP)),
    ],
)
def test_an_opening_without_ports_is_closed_unless_its_protocol_is_accepted(
    quiet_segment: Segment, firewall: Nftables, rule: str, shut: tuple[Opening, ...]
) -> None:
    chain = f"chain in {{ type filter hook input priority 0; policy drop; {rule}; }}"
    quiet_segment.inside.run("nft", "-f", "-", stdin=f"table ip mine {{ {chain}; }}")
    closing = firewall.closed_by((ECHO_OF_ANYONE, IP_IN_IP))
    assert [chain.openings for chain in closing] == ([shut] if shut else [])


def test_without_nft_the_error_says_so(quiet_segment: Segment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError, match="nft"):
        Nftables().observe()


def test_a_namespace_that_does_not_exist_is_not_an_absent_table() -> None:
    with pytest.raises(HostError, match="namespace"):
        Nftables(("ip", "netns", "exec", "np-there-is-none")).observe()


def program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_ssh_ports_are_what_sshd_and_its_socket_say(
    quiet_segment: Segment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    configured = (
        "port 2022\\naddressfamily any\\nlistenaddress [::]:2222\\nlistenaddress 0.0.0.0:2222\\nx11displayoffset 10"
    )
    program(tmp_path, "sshd", f"printf '{configured}\\n'")
    program(
        tmp_path,
        "systemctl",
        "printf 'Listen=0.0.0.0:2322 (Stream)\\nListen=[::]:2322 (Stream)\\nActiveState=active\\n'",
    )
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert Nftables(quiet_segment.inside.prefix).ssh_ports() == (2022, 2222, 2322)


def test_ssh_ports_are_what_sshd_listens_on_where_its_configuration_cannot_be_read(
    quiet_segment: Segment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    program(folder, "sshd", "exit 1")
    program(folder, "systemctl", "printf 'Listen=[::]:2322 (Stream)\\nActiveState=inactive\\n'")
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    named_sshd = tmp_path / "sshd"
    named_sshd.symlink_to(Path(sys.executable).resolve())
    script = (
        "import socket; a = socket.create_server(('::', 2422), family=socket.AF_INET6);"
        " b = socket.create_server(('127.0.0.1', 6010)); print('up', flush=True); input()"
    )
    argv = (*quiet_segment.inside.prefix, str(named_sshd), "-S", "-c", script)
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as listener:
        assert listener.stdout is not None
        assert listener.stdin is not None
        assert listener.stdout.readline() == "up\n"
        found = Nftables(quiet_segment.inside.prefix).ssh_ports()
        listener.stdin.write("\n")
    assert 2422 in found
    assert 6010 not in found
    assert 2322 not in found


def test_ssh_ports_fall_back_to_22(quiet_segment: Segment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program(tmp_path, "sshd", "echo addressfamily any")
    program(tmp_path, "systemctl", "exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert Nftables(quiet_segment.inside.prefix).ssh_ports() == (22,)
