"""Reporting: the document behind status file, journal and status line."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from nodeprep import report
from nodeprep.artefacts import catalogue
from nodeprep.messages import BY_CODE
from nodeprep.model import Artefact, Decision, Finding, Kind, Opening, Origin, Verdict
from nodeprep.report import Problem, problem_of

THING = replace(catalogue()[0], name="thing", title="title", kind=Kind.A, holds=(), remedy="")
DECISION = Decision(Origin.CLONE, "a copy", joined=False)
CONFLICT = Problem("conflict", "hostname", "hostname web: a live peer presents it")
WARNING = Problem("inherited", "ipv4-address", "IPv4 addresses 10.0.0.1: still the template's")


def document(state: str = "ready", **changed: Any) -> report.Document:
    known: dict[str, Any] = {
        "version": "0.1.0",
        "boot_id": "b" * 36,
        "roles": ("worker",),
        "hostname": "worker-1",
        "decision": DECISION,
        "identity": [],
        "changes": [("machine-id", "aaaaaaaa", "bbbbbbbb")],
        "peers": {"links": ["eth0"], "count": 0, "contested": [], "rejected": 0},
        "openings": report.openings((), "open", "nftables", ()),
        "registry": report.registry("off"),
        "problems": [],
        "warnings": [],
    }
    return report.document(state=state, **(known | changed))


def test_the_document_is_json_of_schema_1() -> None:
    one = document(problems=[CONFLICT], warnings=[WARNING])
    assert json.loads(json.dumps(one)) == one
    assert one["schema"] == 1
    assert set(one) == {
        *("schema", "version", "state", "summary", "boot_id", "node", "identity", "changes"),
        *("peers", "openings", "registry", "problems", "warnings"),
    }
    assert one["node"] == {
        "roles": ["worker"],
        "hostname": "worker-1",
        "origin": "clone",
        "reason": "a copy",
        "joined": False,
    }
    assert one["changes"] == [{"artefact": "machine-id", "old": "aaaaaaaa", "new": "bbbbbbbb"}]


def test_a_problem_carries_title_and_remedy_of_its_code() -> None:
    (row,) = document(problems=[CONFLICT])["problems"]
    assert row == {
        "code": "conflict",
        "subject": "hostname",
        "title": BY_CODE["conflict"].title,
        "detail": CONFLICT.detail,
        "remedy": BY_CODE["conflict"].remedy,
    }


@pytest.mark.parametrize(
    ("state", "problems", "warnings", "summary"),
    [
        ("starting", [], [], "worker-1: preparing (clone)"),
        ("ready", [], [], "worker-1: identity is its own (clone)"),
        ("ready", [], [WARNING], "worker-1: identity is its own (clone), 1 warning"),
        ("ready", [], [WARNING, WARNING], "worker-1: identity is its own (clone), 2 warnings"),
        ("held", [CONFLICT], [WARNING], f"worker-1: {CONFLICT.detail}"),
        ("degraded", [CONFLICT, WARNING, WARNING], [], f"worker-1: {CONFLICT.detail} (and 2 more)"),
    ],
)
def test_the_line_that_is_read_first(
    state: str, problems: list[Problem], warnings: list[Problem], summary: str
) -> None:
    assert document(state, problems=problems, warnings=warnings)["summary"] == summary


def problem(artefact: Artefact, verdict: Verdict, *values: str, failed: str | None = None, used: str = "") -> Problem:
    return problem_of(Finding(artefact.name, verdict, frozenset(values), "why", used), artefact, failed)


@pytest.mark.parametrize("artefact", catalogue(), ids=lambda artefact: artefact.name)
@pytest.mark.parametrize("verdict", list(report.CODES))
@pytest.mark.parametrize("failed", [None, "it broke"])
def test_whatever_is_found_has_a_code_that_can_be_explained(
    artefact: Artefact, verdict: Verdict, failed: str | None
) -> None:
    told = problem(artefact, verdict, "value", failed=failed)
    assert told.code in BY_CODE
    assert told.subject == artefact.name
    assert told.detail.startswith(artefact.title)
    if failed:
        assert told.code == "renewal-failed"
        assert told.detail.endswith(failed)


def test_every_verdict_that_can_be_reported_has_a_code() -> None:
    assert set(report.CODES) == set(Verdict) - {Verdict.OWN, Verdict.ABSENT}


@pytest.mark.parametrize("artefact", [one for one in catalogue() if one.confidential], ids=lambda one: one.name)
def test_a_confidential_value_is_never_told(artefact: Artefact) -> None:
    for verdict in report.CODES:
        assert "SECRET" not in problem(artefact, verdict, "SECRET").detail


@pytest.mark.parametrize("name", ["hostname", "mac", "ipv4-address", "ipv6-address"])
def test_what_an_operator_must_find_is_told(name: str) -> None:
    told = problem(replace(THING, name=name), Verdict.CONFLICT, "b", "a")
    assert told == Problem("conflict", name, "title a, b: why")


AGENT = replace(THING, kind=Kind.C, holds=("agent.service", "agent.timer"), remedy="agent enrol")


def test_a_copy_of_something_enrolled_elsewhere_is_told_with_what_is_held_and_the_exact_command() -> None:
    told = problem(AGENT, Verdict.INHERITED, "value")
    detail = "title: still the template's; held: agent.service, agent.timer"
    assert told == Problem("held-back", "thing", detail, "agent enrol")


def test_of_a_way_in_no_unit_is_held() -> None:
    assert problem(replace(AGENT, holds=()), Verdict.INHERITED).detail == "title: still the template's"


def test_what_a_service_uses_is_told_with_what_shows_it() -> None:
    service = replace(THING, kind=Kind.B, remedy="service rename")
    told = problem(service, Verdict.INHERITED, used="/var/lib/thing has records")
    detail = "title: still the template's; /var/lib/thing has records"
    assert told == Problem("in-use", "thing", detail, "service rename")


def test_the_remedy_of_the_thing_itself_comes_before_that_of_its_code() -> None:
    rows = document(warnings=[problem(AGENT, Verdict.INHERITED), problem(THING, Verdict.INHERITED)])["warnings"]
    assert [row["remedy"] for row in rows] == ["agent enrol", BY_CODE["inherited"].remedy]


def test_a_row_of_identity_for_each_finding_in_the_order_of_the_catalogue() -> None:
    findings = [Finding(one.name, Verdict.OWN, detail="d") for one in reversed(catalogue())][1:]
    rows = report.identity(catalogue(), findings, {"machine-id": "1234"})
    assert [row["artefact"] for row in rows] == [one.name for one in catalogue()][:-1]
    by_name = {row["artefact"]: row for row in rows}
    assert by_name["machine-id"]["value"] == "1234"
    assert by_name["machine-id"]["verdict"] == "own"
    assert {row["value"] for row in rows} == {"1234", "-"}


def test_openings_as_a_person_writes_them() -> None:
    wanted = [
        Opening("tcp", 6443, 6443, "API server", "control-plane", ("10.0.0.0/24", "10.1.0.0/24")),
        Opening("udp", 30000, 32767, "NodePort", "worker"),
    ]
    told = report.openings(wanted, "open", "nftables", ["a drop"])
    assert [row["opening"] for row in told["list"]] == ["6443/tcp", "30000-32767/udp"]
    assert [row["from"] for row in told["list"]] == ["10.0.0.0/24, 10.1.0.0/24", "any"]
    assert told["closed_by"] == ["a drop"]
