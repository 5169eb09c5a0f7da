"""Rules that name the template's links: nothing on the template, and in the way on its clones."""

from __future__ import annotations

from pathlib import Path

from nodeprep import stamp
from nodeprep.artefacts.persistent_link_names import ARTEFACT, PATH
from nodeprep.judge import judge
from nodeprep.legacy import legacy
from nodeprep.model import Decision, Link, Origin, Verdict
from nodeprep.observe import observe
from tests.fakes import disk
from tests.fakes.managers import FakeManagers

TEMPLATE, CLONE = (Link("eth0", 2, mac, mac, carrier=True) for mac in ("52:54:00:00:00:01", "52:54:00:00:00:02"))
RULE = f'SUBSYSTEM=="net", ATTR{{address}}=="{TEMPLATE.mac}", NAME="eth0"\n'


def test_a_rule_for_the_templates_link_is_the_templates_on_a_clone_though_its_stamp_knows_nothing(
    tmp_path: Path,
) -> None:
    disk.put(tmp_path, PATH, RULE.encode())
    on_template = observe((ARTEFACT,), FakeManagers(str(tmp_path), (TEMPLATE,), ()).view("test"))
    assert on_template == {ARTEFACT.name: frozenset()}
    known = stamp.take(on_template, frozenset(), {}, "", {})

    machine = FakeManagers(str(tmp_path), (CLONE,), ()).view("test")
    seen = observe((ARTEFACT,), machine)
    inherited = legacy((ARTEFACT,), machine, seen, Decision(Origin.CLONE, ""), known, {})
    (finding,) = judge((ARTEFACT,), seen, inherited, {})
    assert (finding.verdict, finding.values) == (Verdict.INHERITED, frozenset({TEMPLATE.mac}))
