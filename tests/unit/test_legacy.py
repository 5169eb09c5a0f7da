"""The legacy: what of a machine is its template's, by what became of the machine."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nodeprep.artefacts import catalogue
from nodeprep.host.local import LocalMachine
from nodeprep.legacy import legacy
from nodeprep.model import Artefact, Claim, Decision, Origin, Reading, Unreadable, Values
from nodeprep.stamp import Stamp, fingerprints

THING = replace(catalogue()[0], name="thing", claim=Claim.MAC, handed_down=None, follows_hardware=False)
READ: Values = frozenset({"template's", "hardware's"})


def found(
    artefact: Artefact,
    origin: Origin,
    reading: Reading = READ,
    stamp: Stamp | None = None,
    contested: Values = frozenset(),
) -> Values | None:
    lost = {Claim.MAC: contested} if contested else {}
    told = legacy([artefact], LocalMachine("test"), {"thing": reading}, Decision(origin, ""), stamp, lost)
    return told.get("thing")


KNOWING = replace(THING, handed_down=lambda machine, reading: reading - {"hardware's"})


def test_on_a_clone_the_stamp_says_it() -> None:
    stamp = Stamp(artefacts={"thing": fingerprints("thing", ["stamped"])})
    assert found(THING, Origin.CLONE, stamp=stamp) == fingerprints("thing", ["stamped"])
    assert found(KNOWING, Origin.CLONE, stamp=stamp) == fingerprints("thing", ["stamped"])


@pytest.mark.parametrize("origin", [Origin.FIRST_BOOT, Origin.TWIN])
def test_of_unknown_past_everything_is_but_what_is_the_hardwares(origin: Origin) -> None:
    assert found(THING, origin) == fingerprints("thing", READ)
    assert found(KNOWING, origin) == fingerprints("thing", ["template's"])


def test_what_a_live_peer_has_too_is_nobodys_own() -> None:
    contested = frozenset({"hardware's"})
    assert found(KNOWING, Origin.TWIN, contested=contested) == fingerprints("thing", READ)


def test_where_a_card_was_replaced_only_what_follows_the_hardware_is_asked() -> None:
    assert found(KNOWING, Origin.NEW_NIC) is None
    assert found(replace(KNOWING, follows_hardware=True), Origin.NEW_NIC) == fingerprints("thing", ["template's"])


def test_what_cannot_be_read_now_may_be_known_later() -> None:
    assert found(THING, Origin.TWIN, Unreadable("no")) is None
