"""Metrics: the status in Prometheus' text format, as its own parser reads it where that is installed."""

from __future__ import annotations

import re
from typing import Any

import pytest

from nodeprep.metrics import STATES, metrics
from nodeprep.model import Verdict
from tests.unit.test_cli import DOCUMENT

LINE = re.compile(r'nodeprep_[a-z_]+(\{[a-z_]+="[^"\\\n]*"(,[a-z_]+="[^"\\\n]*")*\})? [0-9]+')
STATUS: dict[str, Any] = {"version": "0.1.0"} | DOCUMENT


def samples(document: dict[str, Any]) -> dict[str, int]:
    lines = [line for line in metrics(document).splitlines() if not line.startswith("#")]
    return {name: int(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_every_line_is_a_sample_or_a_comment_on_the_next_ones() -> None:
    text = metrics(STATUS)
    assert text.endswith("\n")
    for line in text.splitlines():
        assert line.startswith(("# HELP nodeprep_", "# TYPE nodeprep_")) or LINE.fullmatch(line), line


def test_exactly_one_state_holds() -> None:
    for state in STATES:
        found = samples(STATUS | {"state": state})
        assert {each: found[f'nodeprep_state{{state="{each}"}}'] for each in STATES} == {
            each: int(each == state) for each in STATES
        }


def test_what_is_counted() -> None:
    found = samples(STATUS)
    verdicts = {verdict.value: found[f'nodeprep_artefacts{{verdict="{verdict.value}"}}'] for verdict in Verdict}
    assert (verdicts["own"], verdicts["conflict"], verdicts["absent"]) == (2, 1, 1)
    assert sum(verdicts.values()) == len(STATUS["identity"])
    assert found["nodeprep_renewed_artefacts"] == found["nodeprep_contesting_peers"] == 1
    assert (found["nodeprep_peers"], found["nodeprep_openings"]) == (2, 2)
    assert found['nodeprep_problems{code="conflict"}'] == found['nodeprep_warnings{code="moved"}'] == 1
    assert found['nodeprep_build_info{version="0.1.0"}'] == 1


def test_prometheus_own_parser_reads_it() -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    families = list(parser.text_string_to_metric_families(metrics(STATUS)))
    assert {family.type for family in families} == {"gauge"}
    assert sum(len(family.samples) for family in families) == len(samples(STATUS))
