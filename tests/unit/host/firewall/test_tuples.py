"""ufw's rules as its files list them, said in the words in which ufw deletes them."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from nodeprep.host.firewall.tuples import covers, listed, spoken
from nodeprep.model import Opening

KUBELET = Opening("tcp", 10250, 10250, "kubelet API", "worker", ("10.77.0.0/24",))
FILE = """\
*filter
### RULES ###

### tuple ### deny tcp 10250 0.0.0.0/0 any 0.0.0.0/0 in
-A ufw-user-input -p tcp --dport 10250 -j DROP
### END RULES ###
"""


def words(text: str) -> list[str]:
    return text.split()


def test_rules_are_read_from_the_lines_that_ufw_keeps_them_in() -> None:
    assert list(listed(FILE)) == [words("deny tcp 10250 0.0.0.0/0 any 0.0.0.0/0 in")]


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("deny tcp 10250 0.0.0.0/0 any 0.0.0.0/0 in", "deny 10250/tcp"),
        ("deny any 10250 ::/0 any ::/0 in", "deny 10250"),
        ("reject udp 30000:32767 0.0.0.0/0 any 0.0.0.0/0 in", "reject 30000:32767/udp"),
        ("deny any any 0.0.0.0/0 any 10.77.0.99 in", "deny from 10.77.0.99 to any"),
        (
            "deny_log tcp 10250 10.77.0.10 any 10.77.0.0/24 in",
            "deny log from 10.77.0.0/24 to 10.77.0.10 port 10250 proto tcp",
        ),
    ],
)
def test_a_rule_is_said_as_ufw_is_told_of_it(rule: str, said: str) -> None:
    assert spoken(words(rule)) == said


@pytest.mark.parametrize(
    ("rule", "source", "is_about"),
    [
        ("deny tcp 10250 0.0.0.0/0 any 0.0.0.0/0 in", None, True),
        ("deny any any 0.0.0.0/0 any 10.77.0.0/24 in", None, True),
        ("deny any any 0.0.0.0/0 any 10.77.0.99 in", None, False),
        ("deny any any 0.0.0.0/0 any 10.77.0.99 in", "10.77.0.99/32", True),
        ("deny any any 0.0.0.0/0 any 10.77.0.99 in", "10.77.0.98/32", False),
        ("deny tcp 10250 0.0.0.0/0 any 0.0.0.0/0 in", "fd77::9/128", False),
        ("deny tcp 22,10000:10300 0.0.0.0/0 any 0.0.0.0/0 in", None, True),
        ("deny udp 10250 0.0.0.0/0 any 0.0.0.0/0 in", None, False),
        ("deny tcp 10250 10.77.0.10 any 0.0.0.0/0 in", None, False),
        ("route:deny tcp 10250 0.0.0.0/0 any 0.0.0.0/0 in", None, False),
    ],
)
def test_which_rules_are_about_an_opening(rule: str, source: str | None, is_about: bool) -> None:
    assert covers(words(rule), KUBELET, ip_network(source) if source else None) is is_about
