"""Telling: what a contested address is called, before READY and after, and what is told of other fleet keys."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from nodeprep import config, report, run, tell
from nodeprep.config import Config
from nodeprep.contest import Contest
from nodeprep.model import Finding, Link, Sighting, Verdict
from nodeprep.peers.foreign import Foreigner
from nodeprep.peers.rules import Source
from nodeprep.pool import parse_pool
from nodeprep.settle import deaf
from nodeprep.wire import Wire
from tests.fakes import disk
from tests.fakes.managers import FakeManagers

ADDRESS = "10.77.0.10"
POOL = replace(Config(), address=config.AddressPolicy("pool", (parse_pool("10.77.0.100-10.77.0.199"),)))
STRANGER = Sighting("ipv4", ADDRESS, "eth0", "02:aa:bb:cc:dd:ee")
OPENINGS = report.openings((), "off", "-", ())


@pytest.fixture
def contested(tmp_path: Path) -> run.Run:
    """A node whose address somebody else has, under a policy that would take one from a pool."""
    disk.make_template(tmp_path)
    link = Link("eth0", 2, "02:00:00:00:00:01", None, True)
    this = run.Run(FakeManagers(str(tmp_path), (link,), ()).view("test"), POOL, {})
    this.findings = (Finding("ipv4-address", Verdict.CONFLICT, frozenset({ADDRESS}), "somebody has it"),)
    return this


def codes(this: run.Run, holders: tuple[Sighting, ...], *, is_ready: bool) -> list[str]:
    problems, _ = tell.weigh(this, Contest(clear=True), OPENINGS, holders, is_ready=is_ready)
    return [problem.code for problem in problems]


def test_before_ready_the_pool_should_have_helped_and_afterwards_nothing_is_taken_from_it(contested: run.Run) -> None:
    assert codes(contested, (), is_ready=False) == ["no-pool-address"]
    assert codes(contested, (), is_ready=True) == ["conflict"]


def test_where_a_stranger_has_it_after_ready_he_is_named_and_no_peer_accused(contested: run.Run) -> None:
    assert codes(contested, (STRANGER,), is_ready=True) == ["address-in-use"]


def test_what_still_holds_the_old_machine_id_is_told(contested: run.Run) -> None:
    problems, _ = tell.weigh(contested, Contest(clear=True), OPENINGS, (), ("logind gives it",))
    assert (problems[-1].code, problems[-1].detail) == ("old-identity-held", "logind gives it")


def test_the_silence_where_nobody_could_be_asked_is_no_proof(contested: run.Run) -> None:
    contested.findings = ()
    problems, _ = tell.weigh(contested, Contest(clear=True, deaf="eth0: no link carries"), OPENINGS, ())
    assert [(problem.code, problem.detail) for problem in problems] == [("no-link", "eth0: no link carries")]


@pytest.mark.parametrize(
    ("links", "named", "heard", "is_deaf"),
    [
        (("eth0",), (), ("eth0",), False),
        (("eth0", "eth1"), (), ("eth1",), False),
        (("eth0",), (), (), True),
        (("eth0",), (), ("unicast/udp",), True),  # whose way leads over the link
        ((), (), (), False),  # no link that could lead to anybody
        ((), ("eth7",), (), True),  # one that is awaited
    ],
)
def test_who_can_be_asked(
    tmp_path: Path, links: tuple[str, ...], named: tuple[str, ...], heard: tuple[str, ...], is_deaf: bool
) -> None:
    found = tuple(Link(name, 2, "02:00:00:00:00:01", None, carrier=name in heard) for name in links)
    settings = replace(Config(), peers=config.Peers(links=named))
    this = run.Run(FakeManagers(str(tmp_path), found, ()).view("test"), settings, {})
    assert bool(deaf(this, heard)) == is_deaf


class Foreigners:
    """As much of a wire as tells of others' keys."""

    def __init__(self, *foreigners: tuple[Foreigner, int, bool]) -> None:
        self.foreigners = foreigners


def speaker(number: int, *, is_ours: bool = False) -> tuple[Foreigner, int, bool]:
    return Foreigner(Source("eth0", f"02:00:00:00:00:0{number}"), 3, bytes(16), 1.0), 1, is_ours


def told(*foreigners: tuple[Foreigner, int, bool]) -> Any:
    return tell.foreign(cast("Wire", Foreigners(*foreigners)))


def test_others_keys_are_told_in_one_line_however_many_there_are() -> None:
    assert told() == tell.foreign(None) == []
    (one,) = told(speaker(1))
    assert (one.code, one.detail) == ("foreign-key", "02:00:00:00:00:01 on eth0")
    (some,) = told(speaker(1), speaker(2, is_ours=True), speaker(3))
    assert some.detail == "02:00:00:00:00:03 on eth0 and 2 more; 02:00:00:00:00:02 is a MAC of this node"
