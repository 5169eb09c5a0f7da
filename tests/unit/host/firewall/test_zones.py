"""What a zone of firewalld says to an opening, rule by rule, and how it is told otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from nodeprep.host.firewall.zones import refusal_in, zone_of
from nodeprep.model import Opening

PEER = "10.77.0.11"
KUBELET = Opening("tcp", 10250, 10250, "kubelet API", "worker")
OPENED = 'rule port port="10250" protocol="tcp" nflog group="10250" prefix="nodeprep-worker" accept'
DENIED = 'rule family="ipv4" port port="10250" protocol="tcp" reject'
SERVICES = {"ssh": {"ports": [("22", "tcp")]}, "nodeprep-worker": {"ports": [("10250", "tcp"), ("30000-32767", "udp")]}}
NOT_OPENED = "firewalld's zone public, which does not open it"


def said(rules: tuple[str, ...], peer: str = PEER, opening: Opening = KUBELET, **settings: Any) -> str:
    """Return who refuses; "" where nobody does."""
    found = refusal_in("public", {"rules_str": list(rules), **settings}, SERVICES, opening, peer)
    return found[0] if found else ""


def by(rule: str) -> str:
    return f"firewalld's zone public, rich rule `{rule}`"


@pytest.mark.parametrize(
    ("rules", "settings", "who"),
    [
        ((), {}, NOT_OPENED),
        ((), {"services": ["ssh"]}, NOT_OPENED),
        ((), {"services": ["nodeprep-worker"]}, ""),
        ((), {"ports": [("10000-10300", "tcp")]}, ""),
        ((), {"ports": [("10250", "udp")]}, NOT_OPENED),
        ((), {"protocols": ["tcp"]}, ""),
        ((), {"target": "ACCEPT"}, ""),
        ((), {"target": "DROP"}, NOT_OPENED),
        ((OPENED,), {}, ""),
        ((OPENED, DENIED), {}, by(DENIED)),
        ((DENIED,), {"target": "ACCEPT"}, by(DENIED)),
        (
            ('rule service name="nodeprep-worker" drop',),
            {"services": ["nodeprep-worker"]},
            by('rule service name="nodeprep-worker" drop'),
        ),
        (('rule protocol value="6" drop', OPENED), {}, by('rule protocol value="6" drop')),
        (('rule priority="-5" port port="10250" protocol="tcp" accept', DENIED), {}, ""),
        (('rule priority="5" port port="10250" protocol="tcp" drop', OPENED), {}, ""),
        (('rule family="ipv6" port port="10250" protocol="tcp" drop', OPENED), {}, ""),
        (
            ('rule family="ipv4" source address="10.77.0.0/24" drop', OPENED),
            {},
            by('rule family="ipv4" source address="10.77.0.0/24" drop'),
        ),
        (('rule family="ipv4" source address="10.78.0.0/24" drop', OPENED), {}, ""),
        (('rule family="ipv4" source NOT address="10.78.0.0/24" drop', OPENED), {}, ""),
        (('rule source mac="52:54:00:77:00:11" drop', OPENED), {}, ""),
        (('rule port port="10250" protocol="tcp" mark set="5"', OPENED), {}, ""),
    ],
)
def test_the_rule_that_decides_is_the_one_that_is_named(
    rules: tuple[str, ...], settings: dict[str, Any], who: str
) -> None:
    assert said(rules, **settings) == who


def test_the_command_is_firewalld_s_own() -> None:
    removed, opened = (refusal_in("public", {"rules_str": rules}, {}, KUBELET, PEER) for rules in ([DENIED], []))
    assert removed and opened
    assert removed[1] == f"`firewall-cmd --zone=public --remove-rich-rule='{DENIED}'`, and the same with --permanent"
    assert opened[1] == "`firewall-cmd --zone=public --add-port=10250/tcp`, and the same with --permanent"


def test_a_peer_of_the_other_family_is_not_refused_by_a_rule_of_one() -> None:
    assert said((OPENED, DENIED), "fd77::11") == ""


def test_a_zone_of_sources_comes_before_that_of_the_link() -> None:
    active = {
        "home": {"interfaces": ["eth0"], "sources": []},
        "trusted": {"sources": ["10.77.0.8/30", "ipset:some", "52:54:00:77:00:99"]},
    }
    assert zone_of(active, "eth0", "10.77.0.11") == "trusted"
    assert zone_of(active, "eth0", "10.77.0.12") == "home"
    assert zone_of(active, "eth1", "fd77::11") == ""
