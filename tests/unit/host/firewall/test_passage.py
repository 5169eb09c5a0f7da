"""Where the first packet to an opening ends, in tables as operators, ufw, Docker and CNIs make them."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from nodeprep.host.firewall.passage import Packet, of_peer, packets, stop_of
from nodeprep.host.firewall.xtables import Filter, parse
from nodeprep.model import ICMP_ECHO, Opening

API = Opening("tcp", 6443, 6443, "API server", "control-plane")
PORTS = Opening("udp", 30000, 32767, "NodePort services", "worker")
TUNNEL = Opening("ip-in-ip", 0, 0, "IP in IP", "calico")
ECHO = Opening(ICMP_ECHO, 0, 0, "health checks", "cilium")
INSIDE = Opening("tcp", 2380, 2380, "etcd peer", "etcd", ("10.77.0.0/24", "fd77::/64"))
UFW = """\
*filter
:INPUT DROP [0:0]
:ufw-before-input - [0:0]
:ufw-not-local - [0:0]
:ufw-user-input - [0:0]
:ufw-after-input - [0:0]
-A INPUT -j ufw-before-input
-A INPUT -j ufw-after-input
-A ufw-before-input -i lo -j ACCEPT
-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-input -m conntrack --ctstate INVALID -j DROP
-A ufw-before-input -p icmp -m icmp --icmp-type 8 -j ACCEPT
-A ufw-before-input -j ufw-not-local
-A ufw-before-input -d 224.0.0.251/32 -p udp -m udp --dport 5353 -j ACCEPT
-A ufw-before-input -j ufw-user-input
-A ufw-not-local -m addrtype --dst-type LOCAL -j RETURN
-A ufw-not-local -m limit --limit 3/min --limit-burst 10 -j LOG
-A ufw-not-local -j DROP
{rules}
-A ufw-after-input -p udp -m udp --dport 137 -j DROP
COMMIT
"""


def table(*rules: str, policy: str = "ACCEPT", chains: str = "") -> Filter:
    lines = "\n".join(rules)
    found = parse(f"*filter\n:INPUT {policy} [0:0]\n{chains}{lines}\nCOMMIT\n")
    assert found
    return found


def end(there: Filter, packet: Packet) -> str:
    """Return "CHAIN: why", or "" where a packet is let in."""
    stop = stop_of(there, packet)
    return f"{stop.chain}: {stop.reason}" if stop else ""


def of_anyone(opening: Opening) -> Packet:
    return next(packets(opening, 4))


@pytest.mark.parametrize(
    ("rules", "where"),
    [
        ((), ""),
        (("-A INPUT -p tcp -m tcp --dport 6443 -j DROP",), "INPUT: a rule drops it"),
        (
            ("-A INPUT -p tcp -m multiport --dports 22,6000:7000 -j REJECT --reject-with tcp-reset",),
            "INPUT: a rule drops it",
        ),
        (("-A INPUT -p udp -m udp --dport 6443 -j DROP",), ""),
        (("-A INPUT -p tcp -m tcp --dport 6443 -j ACCEPT", "-A INPUT -j DROP"), ""),
        (("-A INPUT -m conntrack --ctstate NEW -j ACCEPT", "-A INPUT -j DROP"), ""),
        (("-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "-A INPUT -j DROP"), "INPUT: ends in drop"),
        (("-A INPUT ! -i lo -j REJECT",), "INPUT: a rule drops it"),
        (("-A INPUT -i lo -j DROP",), ""),
        (("-A INPUT -s 10.0.0.9/32 -j DROP",), ""),
        (("-A INPUT -p tcp -m tcp --dport 6443 -m recent --update --seconds 30 -j DROP",), ""),
        (("-A INPUT -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j REJECT",), "INPUT: a rule drops it"),
        (('-A INPUT -p tcp -m comment --comment "no -j ACCEPT here" -j DROP',), "INPUT: a rule drops it"),
        (("-A INPUT -j KUBE-FIREWALL",), ""),
        (("-A INPUT -j MINE",), "MINE: ends in drop"),
        (("-A INPUT -p udp -j MINE",), ""),
        (("-A INPUT -g BACK", "-A INPUT -j DROP"), ""),
        (("-A INPUT -j BACK", "-A INPUT -j DROP"), "INPUT: ends in drop"),
    ],
)
def test_a_rule_that_refuses_is_found_where_it_stands(rules: tuple[str, ...], where: str) -> None:
    chains = ":MINE - [0:0]\n:BACK - [0:0]\n:KUBE-FIREWALL - [0:0]\n"
    their_own = ("-A MINE -j LOG", "-A MINE -j DROP", "-A BACK -j RETURN", "-A KUBE-FIREWALL -j DROP")
    assert end(table(*rules, *their_own, chains=chains), of_anyone(API)) == where


def test_a_cni_is_named_to_whom_asks_for_everybody() -> None:
    there = table("-A INPUT -j cali-INPUT", "-A cali-INPUT -j DROP", chains=":cali-INPUT - [0:0]\n")
    assert stop_of(there, of_anyone(API)) is None
    stop = stop_of(there, of_anyone(API), spares=False)
    assert stop and stop.chain == "cali-INPUT"


def test_chains_that_lead_in_a_circle_have_an_end() -> None:
    there = table("-A INPUT -j A", "-A A -j B", "-A B -j A", policy="DROP", chains=":A - [0:0]\n:B - [0:0]\n")
    assert end(there, of_anyone(API)) == "INPUT: policy drop"


def test_what_refuses_a_part_of_a_range_refuses_it_and_what_accepts_a_part_does_not_open_it() -> None:
    assert (
        end(table("-A INPUT -p udp -m udp --dport 31000:40000 -j DROP"), of_anyone(PORTS)) == "INPUT: a rule drops it"
    )
    accepts = "-A INPUT -p udp -m udp --dport 30000:31000 -j ACCEPT"
    assert end(table(accepts, policy="DROP"), of_anyone(PORTS)) == "INPUT: policy drop"
    to_part = table(
        "-A INPUT -p udp -m udp --dport 30000:31000 -j SOME",
        "-A SOME -j ACCEPT",
        policy="DROP",
        chains=":SOME - [0:0]\n",
    )
    assert end(to_part, of_anyone(PORTS)) == "INPUT: policy drop"


def test_an_opening_for_some_is_tried_from_each_of_them() -> None:
    there = table("-A INPUT -s 10.77.0.0/16 -p tcp -m tcp --dport 2380 -j ACCEPT", policy="DROP")
    assert [end(there, packet) for packet in packets(INSIDE, 4)] == [""]
    narrow = table("-A INPUT -s 10.77.0.7/32 -p tcp -m tcp --dport 2380 -j ACCEPT", policy="DROP")
    assert [end(narrow, packet) for packet in packets(INSIDE, 4)] == ["INPUT: policy drop"]
    assert [str(packet.source) for packet in packets(INSIDE, 6)] == ["fd77::/64"]
    assert [packet.source for packet in packets(API, 6)] == [None]


def test_a_peer_is_refused_by_what_is_about_it_alone() -> None:
    there = table("-A INPUT -s 10.77.0.9/32 -i eth+ -d 10.77.0.10/32 -p tcp -j DROP")
    assert stop_of(there, of_peer(API, "10.77.0.9", "eth0", "10.77.0.10"))
    for peer, link, address in (
        ("10.77.0.8", "eth0", "10.77.0.10"), ("10.77.0.9", "wan0", "10.77.0.10"), ("10.77.0.9", "eth0", "10.77.0.11"),
    ):  # fmt: skip
        assert stop_of(there, of_peer(API, peer, link, address)) is None


@pytest.mark.parametrize(
    ("opening", "rule"),
    [
        (TUNNEL, "-A INPUT -p 4 -j ACCEPT"),
        (TUNNEL, "-A INPUT -p ipencap -j ACCEPT"),
        (ECHO, "-A INPUT -p icmp -j ACCEPT"),
        (ECHO, "-A INPUT -p icmp -m icmp --icmp-type 8 -j ACCEPT"),
    ],
)
def test_a_protocol_without_ports_is_let_in_by_name_or_number(opening: Opening, rule: str) -> None:
    assert stop_of(table(rule, policy="DROP"), of_anyone(opening)) is None
    assert stop_of(table(rule, policy="DROP"), of_anyone(API))


def test_the_chains_of_ufw_are_followed_to_the_rule_of_the_user() -> None:
    def through(rules: str, opening: Opening = API) -> str:
        there = parse(UFW.replace("{rules}", rules))
        assert there
        return end(there, of_peer(opening, "10.77.0.9", "eth0", "10.77.0.10"))

    allow = "-A ufw-user-input -p tcp -m tcp --dport 6443 -m comment --comment \"\\'dapp_nodeprep\\'\" -j ACCEPT"
    deny = "-A ufw-user-input -p tcp -m tcp --dport 6443 -j DROP"
    assert through(allow) == ""
    assert through("") == "INPUT: policy drop"
    assert through(f"{deny}\n{allow}") == "ufw-user-input: a rule drops it"
    assert through(f"{allow}\n{deny}") == ""
    assert through("", ECHO) == ""


def test_a_packet_is_as_wide_as_whom_the_opening_is_for() -> None:
    assert next(packets(INSIDE, 4)).source == ip_network("10.77.0.0/24")
