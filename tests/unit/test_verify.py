"""Observing and verifying: the same judge again, on what is there now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from nodeprep.artefacts import catalogue
from nodeprep.errors import HostError
from nodeprep.host.local import LocalMachine
from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Claim, Lacking, Reading, Unreadable, Values, Verdict
from nodeprep.observe import JOINED_STATE, joined, observe, presented
from nodeprep.stamp import fingerprints
from nodeprep.verify import verify
from tests.fakes.disk import put


def artefact(name: str, look: Callable[[MachineView], Reading], claim: Claim | None = None) -> Artefact:
    return replace(catalogue()[0], name=name, observe=look, claim=claim, present=None)


def file(name: str, claim: Claim | None = None) -> Artefact:
    """An artefact that is the content of a file of its own name."""

    def look(machine: MachineView) -> Reading:
        return frozenset({machine.read_text(f"/{name}") or ""} - {""})

    return artefact(name, look, claim)


def broken(machine: MachineView) -> Reading:
    raise HostError("permission denied")


@pytest.fixture
def machine(tmp_path: Path) -> LocalMachine:
    put(tmp_path, "/one", b"a")
    return LocalMachine("test", str(tmp_path))


def test_what_cannot_be_read_says_so_and_spoils_no_other(machine: LocalMachine) -> None:
    readings = observe([artefact("bad", broken), file("one")], machine)
    assert readings == {"bad": Unreadable("permission denied"), "one": frozenset({"a"})}


def test_a_fault_of_the_program_is_not_taken_for_one_of_the_machine(machine: LocalMachine) -> None:
    def faulty(machine: MachineView) -> Reading:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        observe([artefact("bad", faulty)], machine)


def test_only_values_that_are_there_are_presented(machine: LocalMachine) -> None:
    artefacts = [
        file("one", Claim.MACHINE_ID),
        file("two", Claim.HOSTNAME),
        artefact("bad", broken, Claim.MAC),
        artefact("lacking", lambda _: Lacking("none"), Claim.SSH_HOST_KEY),
        file("private"),
    ]
    assert presented(artefacts, machine, observe(artefacts, machine)) == {Claim.MACHINE_ID: frozenset({"a"})}


def test_more_may_be_presented_than_is_observed(machine: LocalMachine) -> None:
    def both(machine: MachineView) -> Values:
        return frozenset({"a", "leased"})

    wide = replace(file("one", Claim.IPV4), present=both)
    assert presented([wide], machine, observe([wide], machine)) == {Claim.IPV4: frozenset({"a", "leased"})}


@pytest.mark.parametrize("path", JOINED_STATE)
def test_joined_state_is_seen(machine: LocalMachine, path: str) -> None:
    assert joined(machine) == ()
    put(Path(machine.real("")), path, b"")
    assert joined(machine) == (path,)


def test_a_renewal_that_took_leaves_nothing_to_find(machine: LocalMachine) -> None:
    inherited = {"one": fingerprints("one", ["a"])}
    artefacts = [file("one")]
    assert [finding.verdict for finding in verify(artefacts, machine, inherited, {})[1]] == [Verdict.INHERITED]
    put(Path(machine.real("")), "/one", b"b")
    observation, findings, left = verify(artefacts, machine, inherited, {})
    assert [finding.verdict for finding in findings] == [Verdict.OWN]
    assert observation == {"one": frozenset({"b"})}
    assert left == {}


def test_a_contested_value_is_one_until_it_is_not_presented_any_more(machine: LocalMachine) -> None:
    artefacts = [file("one", Claim.MACHINE_ID)]
    contested = {Claim.MACHINE_ID: frozenset({"a", "given up"}), Claim.MAC: frozenset({"gone"})}
    _, findings, left = verify(artefacts, machine, {}, contested)
    assert findings[0].verdict is Verdict.CONFLICT
    assert left == {Claim.MACHINE_ID: frozenset({"a"})}
    put(Path(machine.real("")), "/one", b"b")
    _, findings, left = verify(artefacts, machine, {}, left)
    assert findings[0].verdict is Verdict.OWN
    assert left == {}


def test_artefacts_may_come_from_a_generator(machine: LocalMachine) -> None:
    _, findings, left = verify((one for one in [file("one", Claim.MAC)]), machine, {}, {Claim.MAC: frozenset({"a"})})
    assert findings[0].verdict is Verdict.CONFLICT
    assert left == {Claim.MAC: frozenset({"a"})}
