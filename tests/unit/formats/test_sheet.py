"""How rules are named, and that nobody having said from where is never cut off."""

from __future__ import annotations

from nodeprep.cluster import Cluster
from nodeprep.formats.sheet import NAME_LENGTH, UNKNOWN, by_family, groups, said
from nodeprep.roles import Need, Role
from tests.fakes.sheets import KNOWN, NOBODY_SAID, SHIPPED, every, sheet


def test_a_role_that_all_reach_alike_has_one_group_of_its_name() -> None:
    assert [group.name for group in groups(every("worker", NOBODY_SAID))] == ["nodeprep-worker"]
    assert [group.name for group in groups(every("flannel"))] == ["nodeprep-flannel"]


def test_a_role_that_is_reached_from_several_places_names_who_needs_what() -> None:
    found = {group.name: [opening.title for opening in group.openings] for group in groups(every("worker"))}
    assert found == {
        "nodeprep-worker-control-plane-metrics": ["10250/tcp"],
        "nodeprep-worker-load-balancers": ["10256/tcp"],
        "nodeprep-worker-clients-load-balancers": ["30000-32767/tcp", "30000-32767/udp"],
    }


def test_groups_have_names_of_their_own_that_every_cloud_takes() -> None:
    words = ("control-plane", "nodes", "load-balancers", "clients", "pods", "metrics")
    long = Role(
        "a-role-of-the-longest-name-there",
        "Long",
        tuple(Need("tcp", 9000 + number, 9000 + number, "x", words[: number + 1]) for number in range(len(words))),
    )
    narrow = Cluster(("10.0.0.0/24",), ("192.0.2.0/24",), ("10.0.0.1/32",), ("198.51.100.1/32",), ("10.9.0.0/16",))
    for made in (sheet(*SHIPPED, long), sheet(*SHIPPED, long, cluster=narrow), sheet(*SHIPPED, cluster=NOBODY_SAID)):
        names = [group.name for group in groups(made)]
        assert len(names) == len(set(names))
        assert max(map(len, names)) <= NAME_LENGTH


def test_sources_are_told_apart_by_family_and_are_all_where_nobody_said() -> None:
    assert by_family(("10.0.0.0/8", "fd00::/8")) == (("ipv4", ("10.0.0.0/8",)), ("ipv6", ("fd00::/8",)))
    assert by_family(("fd00::/8",)) == (("ipv6", ("fd00::/8",)),)
    assert by_family(()) == (("ipv4", ("0.0.0.0/0",)), ("ipv6", ("::/0",)))


def test_what_is_said_fits_and_keeps_the_warning() -> None:
    assert said("title", ("10.0.0.0/8",)) == "title"
    assert said("t" * 300, ("10.0.0.0/8",), 140) == "t" * 140
    long = said("t" * 300, (), 140)
    assert len(long) == 140 and long.endswith(f" ({UNKNOWN})")


def test_a_sheet_knows_of_which_openings_nobody_said() -> None:
    assert every("worker", KNOWN).unknown == ()
    assert len(every("worker", NOBODY_SAID).unknown) == 4
