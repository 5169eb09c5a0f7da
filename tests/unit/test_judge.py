"""Judging: the table of the boot's origin row by row, the verdicts, and what keeps a node from being ready."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeprep.artefacts import catalogue
from nodeprep.judge import Readiness, decide, judge, readiness
from nodeprep.model import Claim, Decision, Finding, Kind, Lacking, Origin, Reading, Unreadable, Values, Verdict
from nodeprep.stamp import Stamp, fingerprints, take
from nodeprep.steps import Outcome, Result

UUID, OTHER_UUID = frozenset({"uuid"}), frozenset({"another uuid"})
MACS, OTHER_MACS = frozenset({"02:00:00:00:00:01", "02:00:00:00:00:02"}), frozenset({"02:00:00:00:00:09"})
NONE: Values = frozenset()


def hardware(uuid: Values, macs: Values, instance: Values = NONE) -> dict[str, Values]:
    """Signals as platform.signals() gives them: what cannot be read is not there."""
    signals = {"product-uuid": uuid, "permanent-mac": macs, "cloud-instance-id": instance}
    return {kind: values for kind, values in signals.items() if values}


def stamped(signals: Mapping[str, Values]) -> Stamp:
    return take({}, frozenset(), signals, "", {})


HOME = stamped(hardware(UUID, MACS))


def origin(
    stamp: Stamp | None,
    signals: Mapping[str, Values],
    *,
    baked_offline: bool = False,
    on_hardware_change: str = "decide",
    joined: bool = False,
) -> Origin:
    decision = decide(stamp, signals, baked_offline=baked_offline, on_hardware_change=on_hardware_change, joined=joined)
    assert decision.reason
    assert decision.joined == joined
    assert not decision.resumed
    return decision.origin


@pytest.mark.parametrize("joined", [False, True], ids=["never-joined", "joined"])
@pytest.mark.parametrize(
    ("uuid", "macs", "expected"),
    [
        pytest.param(UUID, MACS, Origin.SAME, id="same-machine"),
        pytest.param(OTHER_UUID, OTHER_MACS, Origin.CLONE, id="clone"),
        pytest.param(OTHER_UUID, MACS, Origin.MOVED, id="moved"),
        pytest.param(UUID, OTHER_MACS, Origin.NEW_NIC, id="new-nic"),
        pytest.param(NONE, MACS, Origin.SAME, id="uuid-not-readable"),
        pytest.param(UUID, NONE, Origin.SAME, id="macs-not-readable"),
        pytest.param(NONE, NONE, Origin.SAME, id="nothing-readable"),
        pytest.param(OTHER_UUID, NONE, Origin.WEAK, id="new-uuid-and-macs-not-readable"),
        pytest.param(UUID, frozenset({*OTHER_MACS, *MACS}), Origin.SAME, id="one-more-nic"),
        pytest.param(UUID, frozenset({"02:00:00:00:00:02"}), Origin.SAME, id="one-nic-less"),
    ],
)
def test_the_hardware_decides(uuid: Values, macs: Values, expected: Origin, joined: bool) -> None:
    assert origin(HOME, hardware(uuid, macs), joined=joined) is expected


def test_only_the_macs_can_tell_and_it_never_joined() -> None:
    assert origin(HOME, hardware(NONE, OTHER_MACS)) is Origin.CLONE


def test_only_the_macs_can_tell_and_it_joined() -> None:
    assert origin(HOME, hardware(NONE, OTHER_MACS), joined=True) is Origin.WEAK


def test_a_stamp_from_before_the_uuid_could_be_read() -> None:
    # What was not known when the stamp was written is not "new" when it is.
    before = stamped(hardware(NONE, MACS))
    assert origin(before, hardware(UUID, MACS)) is Origin.SAME


@pytest.mark.parametrize(
    ("instance", "macs", "expected"),
    [("i-1", MACS, Origin.SAME), ("i-2", OTHER_MACS, Origin.CLONE), ("i-2", MACS, Origin.MOVED)],
)
def test_the_cloud_instance_stands_in_for_a_uuid_that_is_not_there(
    instance: str, macs: Values, expected: Origin
) -> None:
    before = stamped(hardware(NONE, MACS, frozenset({"i-1"})))
    assert origin(before, hardware(NONE, macs, frozenset({instance}))) is expected


BY_ITSELF = ("cloud-instance-id", "container-uuid", "vm-generation-id")


@pytest.mark.parametrize("kind", [*BY_ITSELF, "disk-serial"])
@pytest.mark.parametrize("joined", [False, True], ids=["never-joined", "joined"])
def test_without_a_product_uuid_another_signal_tells_of_the_platform(kind: str, joined: bool) -> None:
    before = stamped({"permanent-mac": MACS, kind: frozenset({"one"})})
    assert origin(before, {"permanent-mac": OTHER_MACS, kind: frozenset({"two"})}, joined=joined) is Origin.CLONE
    assert origin(before, {"permanent-mac": MACS, kind: frozenset({"two"})}, joined=joined) is Origin.MOVED
    assert origin(before, {"permanent-mac": MACS}, joined=joined) is Origin.SAME


@pytest.mark.parametrize("kind", BY_ITSELF)
def test_the_same_platform_with_new_macs_got_a_new_card(kind: str) -> None:
    before = stamped({"permanent-mac": MACS, kind: frozenset({"one"})})
    assert origin(before, {"permanent-mac": OTHER_MACS, kind: frozenset({"one"})}) is Origin.NEW_NIC


def test_a_disk_serial_that_many_machines_share_says_nothing() -> None:
    before = stamped({"permanent-mac": MACS, "disk-serial": frozenset({"drive-scsi0"})})
    now = {"permanent-mac": OTHER_MACS, "disk-serial": frozenset({"drive-scsi0"})}
    assert origin(before, now) is Origin.CLONE
    assert origin(before, now, joined=True) is Origin.WEAK


def test_a_known_product_uuid_beats_the_other_signals() -> None:
    # A snapshot was restored: its VM generation ID is new, its disk as well, and the machine is the same.
    before = stamped(hardware(UUID, MACS) | {"vm-generation-id": frozenset({"one"}), "disk-serial": frozenset({"a"})})
    now = hardware(UUID, MACS) | {"vm-generation-id": frozenset({"two"}), "disk-serial": frozenset({"b"})}
    assert origin(before, now) is Origin.SAME


def test_no_stamp_on_a_machine_that_runs_is_adopted() -> None:
    assert origin(None, hardware(OTHER_UUID, OTHER_MACS)) is Origin.ADOPTED


@pytest.mark.parametrize("stamp", [None, HOME], ids=["no-stamp", "stamp"])
@pytest.mark.parametrize("word", ["decide", "renew", "keep"])
def test_an_image_baked_offline_is_a_first_boot_whatever_else(stamp: Stamp | None, word: str) -> None:
    signals = hardware(UUID, MACS)
    assert origin(stamp, signals, baked_offline=True, on_hardware_change=word) is Origin.FIRST_BOOT


@pytest.mark.parametrize(
    "signals",
    [
        hardware(OTHER_UUID, OTHER_MACS),
        hardware(OTHER_UUID, MACS),
        hardware(UUID, OTHER_MACS),
        hardware(NONE, OTHER_MACS),
    ],
    ids=["clone", "moved", "new-nic", "weak"],
)
def test_the_operators_word_beats_the_table(signals: Mapping[str, Values]) -> None:
    assert origin(HOME, signals, on_hardware_change="renew") is Origin.CLONE
    assert not origin(HOME, signals, on_hardware_change="keep").renews


@pytest.mark.parametrize("word", ["renew", "keep"])
def test_the_operators_word_changes_nothing_on_unchanged_hardware(word: str) -> None:
    assert origin(HOME, hardware(UUID, MACS), on_hardware_change=word) is Origin.SAME


@given(
    st.sampled_from([UUID, OTHER_UUID, NONE]),
    st.sampled_from([MACS, OTHER_MACS, NONE]),
    st.booleans(),
)
def test_a_signal_that_cannot_be_read_never_makes_a_copy(uuid: Values, macs: Values, joined: bool) -> None:
    readable = origin(HOME, hardware(uuid or UUID, macs or MACS), joined=joined)
    hidden = origin(HOME, hardware(uuid, macs), joined=joined)
    # Hiding a signal that is unchanged may not turn "not a copy" into one, but where only the MACs are left to tell.
    if hidden.renews and not readable.renews:
        assert not uuid
        assert macs == OTHER_MACS
        assert not joined


# Verdicts

ARTEFACT = replace(catalogue()[0], name="thing", claim=Claim.MACHINE_ID)


def verdict(
    reading: Reading, *, template: Values = NONE, contested: Values = NONE, claim: Claim | None = Claim.MACHINE_ID
) -> Finding:
    (finding,) = judge(
        [replace(ARTEFACT, claim=claim)],
        {"thing": reading},
        {"thing": fingerprints("thing", template)},
        {Claim.MACHINE_ID: contested} if contested else {},
    )
    assert finding.subject == "thing"
    return finding


def test_its_own() -> None:
    assert verdict(frozenset({"a"})) == Finding("thing", Verdict.OWN, frozenset({"a"}))


def test_nothing_there() -> None:
    assert verdict(NONE).verdict is Verdict.ABSENT


def test_one_value_of_several_is_the_templates() -> None:
    finding = verdict(frozenset({"a", "b"}), template=frozenset({"b", "c"}))
    assert finding.verdict is Verdict.INHERITED
    assert finding.values == {"b"}


def test_a_peer_that_presents_it_outweighs_the_template() -> None:
    finding = verdict(frozenset({"a", "b"}), template=frozenset({"a"}), contested=frozenset({"b"}))
    assert finding.verdict is Verdict.CONFLICT
    assert finding.values == {"b"}


def test_what_is_not_presented_cannot_be_contested() -> None:
    assert verdict(frozenset({"a"}), contested=frozenset({"a"}), claim=None).verdict is Verdict.OWN


def test_what_cannot_be_read_is_unknown_even_when_contested() -> None:
    finding = verdict(Unreadable("permission denied"), template=frozenset({"a"}), contested=frozenset({"a"}))
    assert finding.verdict is Verdict.UNKNOWN
    assert finding.detail == "permission denied"


def test_what_should_be_there_is_missing() -> None:
    assert verdict(Lacking("no keys")).verdict is Verdict.MISSING


def test_what_was_not_observed_is_not_judged() -> None:
    assert judge(catalogue(), {}, {}, {}) == ()


def test_the_template_of_one_artefact_is_not_that_of_another() -> None:
    (finding,) = judge([ARTEFACT], {"thing": frozenset({"a"})}, {"other": fingerprints("thing", ["a"])}, {})
    assert finding.verdict is Verdict.OWN


# Readiness

SAME = Decision(Origin.SAME, "")
CLONE = Decision(Origin.CLONE, "")
JOINED_CLONE = Decision(Origin.CLONE, "", joined=True)
MEMBER = Decision(Origin.SAME, "", joined=True)


def weighed(finding: Verdict, decision: Decision, *outcomes: Outcome, kind: Kind = Kind.A) -> Readiness:
    return readiness([replace(ARTEFACT, kind=kind)], [Finding("thing", finding)], outcomes, decision)


@pytest.mark.parametrize("decision", [SAME, CLONE, JOINED_CLONE], ids=["same", "clone", "joined-clone"])
@pytest.mark.parametrize("verdict_", [Verdict.CONFLICT, Verdict.MISSING, Verdict.UNKNOWN])
def test_always_blocking(verdict_: Verdict, decision: Decision) -> None:
    weight = weighed(verdict_, decision)
    assert not weight.ready
    assert [finding.subject for finding in weight.blocking] == ["thing"]


@pytest.mark.parametrize("verdict_", [Verdict.OWN, Verdict.ABSENT])
def test_nothing_against_it(verdict_: Verdict) -> None:
    weight = weighed(verdict_, JOINED_CLONE)
    assert weight.ready
    assert weight.warnings == ()


@pytest.mark.parametrize("kind", [Kind.A, Kind.B, Kind.C])
@pytest.mark.parametrize("result", [Result.FAILED, Result.SKIPPED])
def test_a_renewal_that_did_not_come_off_blocks(result: Result, kind: Kind) -> None:
    assert not weighed(Verdict.INHERITED, CLONE, Outcome("thing", result), kind=kind).ready


@pytest.mark.parametrize("decision", [SAME, CLONE, MEMBER], ids=["same", "clone", "member"])
@pytest.mark.parametrize("kind", [Kind.A, Kind.B, Kind.C])
def test_inherited_and_nobody_could_change_it_is_a_warning(kind: Kind, decision: Decision) -> None:
    weight = weighed(Verdict.INHERITED, decision, Outcome("other", Result.FAILED), kind=kind)
    assert weight.ready
    assert [finding.subject for finding in weight.warnings] == ["thing"]


def test_on_a_joined_clone_which_is_held_as_a_whole_nothing_inherited_is_told_one_by_one() -> None:
    assert weighed(Verdict.INHERITED, JOINED_CLONE) == Readiness((), ())


@pytest.mark.parametrize("verdict_", list(Verdict))
def test_what_nobody_can_change_inside_the_guest_is_only_shown(verdict_: Verdict) -> None:
    weight = weighed(verdict_, CLONE, Outcome("thing", Result.FAILED), kind=Kind.R)
    assert weight == Readiness((), ())


def test_every_verdict_is_weighed() -> None:
    # A verdict that falls through would be READY said wrongly.
    for one in Verdict:
        weight = weighed(one, JOINED_CLONE, Outcome("thing", Result.FAILED))
        assert weight.ready == (one in (Verdict.OWN, Verdict.ABSENT)), one
