"""`nodeprep doctor`: what may be typed, whom it asks, at which addresses, and in which portions."""

from __future__ import annotations

from nodeprep.doctor import _addresses, _chosen, _parts
from nodeprep.examinee import Offer
from nodeprep.model import Link, LinkAddress
from nodeprep.peers.examination import PROBES_MAX, RANGES_MAX, Range
from nodeprep.peers.rules import Source

FIRST, SECOND, THIRD = (
    Offer(bytes((number,)) * 16, b"c" * 16, "worker", Source(link, f"52:54:00:77:00:0{number}"), 0, 0)
    for number, link in ((1, "eth0"), (2, "eth0"), (3, "eth1"))
)
LINK = Link(
    "eth0", 2, "52:54:00:77:00:10", None, carrier=True,
    addresses=(
        LinkAddress("fe80::1", 64, "link"),
        LinkAddress("fd77::66", 64, "global", dad_failed=True),
        LinkAddress("fd77::10", 64, "global"),
        LinkAddress("10.77.0.10", 24, "global"),
        LinkAddress("10.77.0.11", 24, "global"),
    ),
)  # fmt: skip


def test_one_peer_for_each_link_is_asked_or_those_that_are_named() -> None:
    assert set(_chosen((FIRST, SECOND, THIRD), ())) == {FIRST, THIRD}
    assert _chosen((FIRST, SECOND, THIRD), (SECOND.name, "elsewhere")) == (SECOND,)


def test_one_address_of_each_family_is_tried() -> None:
    assert _addresses((LINK,), FIRST) == ["10.77.0.10", "fd77::10"]


def test_what_does_not_fit_into_one_examination_is_several() -> None:
    many = [Range("tcp", port, port) for port in range(1, RANGES_MAX + 2)]
    assert [len(part) for part in _parts(many)] == [RANGES_MAX, 1]
    wide = [Range("tcp", 1, PROBES_MAX), Range("udp", 1, 1), Range("udp", 2, PROBES_MAX)]
    assert [len(part) for part in _parts(wide)] == [1, 2]
    assert _parts(()) == []
