"""What every record of the catalogue promises, so that the phases need know none of them."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from pathlib import Path

import pytest

from nodeprep import artefacts, lint
from nodeprep.apply import perform
from nodeprep.artefacts import catalogue
from nodeprep.errors import HostError
from nodeprep.host import programs
from nodeprep.host.local import LocalMachine
from nodeprep.model import (
    Artefact,
    Finding,
    Kind,
    Lacking,
    Link,
    LinkAddress,
    Profile,
    Reading,
    Stage,
    Unreadable,
    Verdict,
)
from nodeprep.steps import Fresh, Situation
from tests.fakes import disk
from tests.fakes.managers import FakeManagers

CATALOGUE = catalogue()


def those(chosen: Callable[[Artefact], object]) -> pytest.MarkDecorator:
    """Try a test on each artefact that is chosen."""
    records = [artefact for artefact in CATALOGUE if chosen(artefact)]
    return pytest.mark.parametrize("artefact", records, ids=[artefact.name for artefact in records])


EVERY = those(lambda artefact: True)
RENEWED = those(lambda artefact: artefact.kind is not Kind.R)
REPORTED = those(lambda artefact: artefact.kind is Kind.R)
SEALED = those(lambda artefact: artefact.seal and artefact.name != "mac")
"""All but the one that is observed on links, and sealed in files; tests/unit/test_seal.py has that."""
DOUBLED = "52:54:00:00:00:01"
LINK = Link(
    "eth0",
    2,
    DOUBLED,
    "52:54:00:00:00:99",
    True,
    (LinkAddress("10.77.0.11", 24, "global"), LinkAddress("fd00::11", 64, "global")),
)
PROFILE = Profile("u1", "Wired", "eth0", DOUBLED, "manual", ("10.77.0.11/24",), "manual", ("fd00::11/64",))
NOT_IN_FILES = {"product-uuid"}
"""What the platform says and no file of the disk."""
SETTINGS = {"ipv4-address", "ipv6-address", "profile-matches"}
"""What `seal --check` names, and an operator has to change: a clone cannot tell what should be there instead."""
MADE_BY = {"journal-folder": "machine-id"}
"""What observes the name that another artefact gives, and so needs it renewed first."""


@pytest.fixture
def template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeManagers:
    """Return the managers of a machine on which every artefact has a value."""
    disk.make_everything(tmp_path)
    monkeypatch.setattr(programs, "run", disk.Programs().run)
    return FakeManagers(str(tmp_path), (LINK,), (PROFILE,))


def situation(managers: FakeManagers, fresh: Fresh) -> Situation:
    return Situation(
        machine_id=fresh.machine_id,
        hostname="worker-1",
        links=managers.links,
        profiles=managers.profiles,
        address_on_conflict="pool",
    )


def drawn(machine: LocalMachine) -> Fresh:
    staging = machine.make_staging()
    return Fresh("f" * 32, b"fresh" * 100, "02:00:00:00:00:aa", staging, "10.77.0.100/24", "fd00::100/64")


def inherited(artefact: Artefact, reading: Reading) -> Finding:
    assert isinstance(reading, frozenset), reading
    assert reading, f"the template of this test has no {artefact.name}"
    return Finding(artefact.name, Verdict.INHERITED, reading, "still the template's")


def test_a_file_is_its_own_registration() -> None:
    stems = {module.name for module in pkgutil.iter_modules(artefacts.__path__)}
    records = {stem: importlib.import_module(f"nodeprep.artefacts.{stem}").ARTEFACT for stem in stems}
    assert {artefact.name for artefact in CATALOGUE} == {stem.replace("_", "-") for stem in stems}
    for stem, artefact in records.items():
        assert artefact.name == stem.replace("_", "-")
        assert (importlib.import_module(f"nodeprep.artefacts.{stem}").__doc__ or "").strip()


def test_the_order_is_the_same_every_time_and_follows_after() -> None:
    assert catalogue() == CATALOGUE
    seen: set[str] = set()
    for artefact in CATALOGUE:
        assert set(artefact.after) <= seen, artefact.name
        seen.add(artefact.name)


@EVERY
def test_a_record_says_what_it_is_and_why_a_duplicate_hurts(artefact: Artefact) -> None:
    assert artefact.title.strip() == artefact.title != ""
    assert artefact.reason.endswith(".")
    assert artefact.kind in Kind
    assert artefact.stage in Stage
    assert artefact.name not in artefact.after
    assert set(artefact.after) <= {other.name for other in CATALOGUE}


def test_a_claim_belongs_to_one_artefact() -> None:
    claims = [artefact.claim for artefact in CATALOGUE if artefact.claim]
    assert len(claims) == len(set(claims))


@EVERY
def test_units_are_named_in_full(artefact: Artefact) -> None:
    for unit in (*artefact.idle, *artefact.restart):
        assert unit.endswith((".service", ".socket", ".target")), unit


@EVERY
def test_an_empty_machine_is_observed_without_a_fault(artefact: Artefact, tmp_path: Path) -> None:
    reading = artefact.observe(LocalMachine("test", str(tmp_path)))
    assert reading == frozenset() or isinstance(reading, Lacking)
    if artefact.present:
        assert artefact.present(LocalMachine("test", str(tmp_path))) == frozenset()


@EVERY
def test_files_full_of_nonsense_are_observed_without_a_fault(artefact: Artefact, template: FakeManagers) -> None:
    for path in Path(template.root).rglob("*"):
        if path.is_file():
            path.chmod(0o600)
            path.write_bytes(b"\xff\xfe\x00 \n\n nonsense")
    reading = artefact.observe(template.view("test"))
    assert isinstance(reading, (frozenset, Lacking, Unreadable))


@EVERY
def test_observing_changes_nothing_and_says_the_same_twice(artefact: Artefact, template: FakeManagers) -> None:
    before = disk.contents(Path(template.root))
    machine = template.view("test")
    assert artefact.observe(machine) == artefact.observe(machine)
    assert disk.contents(Path(template.root)) == before


@REPORTED
def test_what_is_only_reported_is_never_planned_and_says_what_to_type(
    artefact: Artefact, template: FakeManagers
) -> None:
    machine = template.view("test")
    fresh = drawn(machine)
    reading = artefact.observe(machine)
    assert reading or artefact.name in NOT_IN_FILES
    finding = Finding(artefact.name, Verdict.INHERITED, frozenset({"a value"}), "still the template's")
    assert artefact.plan(finding, fresh, situation(template, fresh)) == ()
    assert artefact.remedy


@those(lambda artefact: artefact.kind is not Kind.A)
def test_what_is_not_always_renewed_says_what_an_operator_can_do(artefact: Artefact) -> None:
    assert artefact.remedy.strip() == artefact.remedy != ""
    assert not artefact.remedy.endswith(".")


@those(lambda artefact: artefact.used)
def test_only_what_depends_on_use_tells_it_and_a_template_was_not_used(
    artefact: Artefact, template: FakeManagers, tmp_path: Path
) -> None:
    assert artefact.kind is Kind.B
    assert artefact.used
    assert artefact.used(template.view("test")) == ""
    assert artefact.used(LocalMachine("test", str(tmp_path / "empty"))) == ""


@SEALED
def test_sealing_leaves_nothing_to_observe_and_nothing_to_seal(artefact: Artefact, template: FakeManagers) -> None:
    machine = template.view("test")
    assert artefact.seal
    before = artefact.observe(machine)
    assert isinstance(before, frozenset)
    actions = artefact.seal(machine)
    assert actions
    assert "private of" not in repr(actions)
    for action in actions:
        perform(action, machine)
    after = artefact.observe(template.view("test"))
    assert not isinstance(after, Unreadable)
    assert lint.is_gone(artefact, after, template.view("test"))
    assert isinstance(after, Lacking) or not after & before, "nothing of the template's"
    for action in artefact.seal(template.view("test")):
        perform(action, machine)
    assert artefact.observe(template.view("test")) == after


@those(lambda artefact: artefact.kind in (Kind.A, Kind.B))
def test_what_is_renewed_is_taken_out_of_an_image_too(artefact: Artefact) -> None:
    assert artefact.seal or artefact.name in SETTINGS


@SEALED
def test_sealing_an_empty_image_does_no_harm(artefact: Artefact, tmp_path: Path) -> None:
    machine = LocalMachine("test", str(tmp_path))
    assert artefact.seal
    for action in artefact.seal(machine):
        perform(action, machine)


@RENEWED
def test_planning_is_pure(artefact: Artefact, template: FakeManagers) -> None:
    machine = template.view("test")
    fresh = drawn(machine)
    finding = inherited(artefact, artefact.observe(machine))
    before = disk.contents(Path(template.root))
    told = situation(template, fresh)
    assert artefact.plan(finding, fresh, told) == artefact.plan(finding, fresh, told)
    assert disk.contents(Path(template.root)) == before


@RENEWED
def test_renewing_leaves_nothing_of_the_templates_and_the_last_action_settles_it(
    artefact: Artefact, template: FakeManagers
) -> None:
    machine = template.view("test")
    fresh = drawn(machine)
    if artefact.name in MADE_BY:
        (before,) = (other for other in CATALOGUE if other.name == MADE_BY[artefact.name])
        for action in before.plan(inherited(before, before.observe(machine)), fresh, situation(template, fresh)):
            perform(action, machine)
    former = artefact.observe(machine)
    finding = inherited(artefact, former)
    actions = artefact.plan(finding, fresh, situation(template, fresh))
    assert actions
    for action in actions[:-1]:
        perform(action, machine)
        reading = artefact.observe(template.view("test"))
        assert isinstance(reading, frozenset)
        assert reading & finding.values, f"cut off after {action}, it would be taken for renewed"
    perform(actions[-1], machine)
    after = artefact.observe(template.view("test"))
    assert not isinstance(after, Unreadable), after
    if isinstance(after, frozenset):
        assert not after & finding.values


@RENEWED
def test_renewing_is_refused_where_it_cannot_be_done_and_the_template_stays(
    artefact: Artefact, template: FakeManagers, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = template.view("test")
    fresh = drawn(machine)
    finding = inherited(artefact, artefact.observe(machine))

    def refuse(*_: object) -> None:
        raise HostError("refused")

    for method in ("write_file", "replace_text", "link_file", "set_aside", "rename_folder", "replace_files"):
        monkeypatch.setattr(machine, method, refuse)
    for method in ("run_program", "set_hostname", "set_profile", "set_link_mac"):
        monkeypatch.setattr(machine, method, refuse)
    for action in artefact.plan(finding, fresh, situation(template, fresh)):
        with pytest.raises(HostError):
            perform(action, machine)
    assert artefact.observe(template.view("test")) == finding.values


@RENEWED
def test_a_secret_shows_in_no_plan(artefact: Artefact, template: FakeManagers) -> None:
    machine = template.view("test")
    fresh = drawn(machine)
    actions = artefact.plan(inherited(artefact, artefact.observe(machine)), fresh, situation(template, fresh))
    assert "freshfresh" not in repr(actions)
    assert "private of" not in repr(actions)
