"""Checkup: the sentence, the text and the document that `nodeprep doctor` ends in."""

from __future__ import annotations

import json

from nodeprep.checks import Check, Outcome
from nodeprep.checkup import Report, document, render, summary
from nodeprep.diagnosis import Proof, Proved
from nodeprep.model import Opening

PEER, ADDRESS = "52:54:00:77:00:11", "10.77.0.10"
API = Opening("tcp", 6443, 6443, "API server", "control-plane")
ETCD = Opening("tcp", 2380, 2380, "etcd peers", "etcd")
PORTS = Opening("udp", 30000, 32767, "NodePort services", "worker")
CHAIN, INSERT = "table inet filter chain input", "`nft insert rule inet filter input udp dport 30000-32767 accept`"
GOOD = Check("links", Outcome.GOOD, "eth0 up")
DOUBTFUL = Check("clock", Outcome.DOUBTFUL, "not known to be in sync", "run chrony or systemd-timesyncd")
BAD = Check("default route", Outcome.BAD, "there is none", "set a gateway")


def proved(opening: Opening, *ports: tuple[Proof, tuple[int, ...]]) -> Proved:
    return Proved(opening, ADDRESS, PEER, ports)


def report(*found: Proved, checks: tuple[Check, ...] = (GOOD,), unheard: tuple[str, ...] = ()) -> Report:
    return Report("worker-1", "nftables", list(checks), list(found), [PEER] if found else [], list(unheard))


FREE = proved(API, (Proof.FREE, (6443,)))
LOST = proved(ETCD, (Proof.PATH, (2380,)))
PARTLY = proved(PORTS, (Proof.FREE, (30000,)), (Proof.HERE, (31000, 31500, 32000, 32500, 32767)))


def test_where_all_is_free_that_is_the_whole_sentence() -> None:
    found = report(FREE)
    assert found.outcome is Outcome.GOOD
    assert summary(found) == "good: 1 openings proved by 1 peer"


def test_a_blocked_opening_is_named_first_and_who_blocks_it() -> None:
    found = report(FREE, PARTLY, LOST, checks=(DOUBTFUL, BAD))
    found.closed_by = {PARTLY: ((CHAIN, INSERT),)}
    assert found.outcome is Outcome.BAD
    assert summary(found) == "bad: 30000-32767/udp is blocked here by table inet filter chain input (and 1 more)"
    assert summary(report(LOST)) == "bad: 2380/tcp is blocked on the path"


def test_without_proof_it_is_not_called_good() -> None:
    assert report(unheard=("no peer answers",)).outcome is Outcome.DOUBTFUL
    assert summary(report(unheard=("no peer answers",))) == "doubtful: no peer answers"
    unproved = report(proved(PORTS, (Proof.UNPROVED, (8472,))))
    assert unproved.outcome is Outcome.DOUBTFUL
    assert summary(unproved) == "doubtful: some of 1 openings could not be proved by 1 peer"


def test_what_is_closed_to_this_peer_as_it_should_be_is_good() -> None:
    assert report(proved(ETCD, (Proof.NOT_FOR_PEER, (2380,)))).outcome is Outcome.GOOD


def test_a_check_that_is_bad_is_the_sentence_where_no_opening_is() -> None:
    assert summary(report(FREE, checks=(GOOD, DOUBTFUL, BAD))) == "bad: default route: there is none"
    assert summary(report(FREE, checks=(DOUBTFUL,))) == "doubtful: clock: not known to be in sync"


def test_a_person_reads_one_line_then_the_node_then_its_openings() -> None:
    found = report(FREE, PARTLY, LOST, checks=(GOOD, DOUBTFUL))
    found.closed_by = {PARTLY: ((CHAIN, INSERT), ("ufw's rule `deny 31000:32767/udp`", "`ufw delete deny …`"))}
    found.not_tried = [Opening("icmp", 0, 0, "echo", "cilium")]
    text = render(found).splitlines()
    assert text[0] == summary(found)
    assert text[2:6] == [
        "Node  worker-1",
        "  links                    good      eth0 up",
        "  clock                    doubtful  not known to be in sync",
        "                                     run chrony or systemd-timesyncd",
    ]
    assert "Openings  at 10.77.0.10, tried by 52:54:00:77:00:11" in text
    assert "  6443/tcp             free                 API server" in text
    blocked = text.index(
        "  30000-32767/udp      blocked here         NodePort services  (31000, 31500, 32000, 32500 and 1 more)"
    )
    assert text[blocked + 1].strip() == f"by {CHAIN}; ufw's rule `deny 31000:32767/udp`"
    assert [line.strip() for line in text[blocked + 2 : blocked + 4]] == [INSERT, "`ufw delete deny …`"]
    found.closed_by = {}
    assert "nft list ruleset" in render(found), "where nobody was found, where to look"


def test_a_program_reads_the_same() -> None:
    found = report(FREE, LOST)
    found.closed_by = {LOST: ((CHAIN, INSERT),)}  # of another try: what is lost on the path is nobody's here
    told = json.loads(json.dumps(document(found)))
    assert told["schema"] == 1
    assert told["outcome"] == "bad"
    assert told["peers"] == [PEER]
    assert [row["opening"] for row in told["openings"]] == ["6443/tcp", "2380/tcp"]
    (proof,) = told["openings"][1]["proofs"]
    assert (proof["proof"], proof["ports"]) == ("blocked on the path", [2380])
    assert "security group" in proof["remedy"]
    assert proof["by"] == ""
