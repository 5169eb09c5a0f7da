"""The stamp: what a file of it means, and that nothing else means anything."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeprep import stamp
from nodeprep.errors import StampError
from nodeprep.model import Lacking, Unreadable
from nodeprep.stamp import Stamp, decode, encode, fingerprint, fingerprints, take

NAMES = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=12)
PRINTS = st.frozensets(st.text("0123456789abcdef", min_size=32, max_size=32), max_size=3)
STAMPS = st.builds(
    Stamp,
    hardware=st.dictionaries(NAMES, PRINTS, max_size=3),
    hardware_digest=st.text("0123456789abcdef", max_size=64),
    artefacts=st.dictionaries(NAMES, PRINTS, max_size=4),
    inherited=st.dictionaries(NAMES, PRINTS, max_size=2),
)
EXAMPLE = Stamp(
    {"product-uuid": fingerprints("product-uuid", ["u"]), "permanent-mac": fingerprints("permanent-mac", ["a", "b"])},
    "d" * 64,
    {"machine-id": fingerprints("machine-id", ["m"]), "hostname": frozenset()},
    {"salt-minion": fingerprints("salt-minion", ["k"])},
)


@given(STAMPS)
def test_what_is_encoded_is_decoded(one: Stamp) -> None:
    assert decode(encode(one)) == one


def test_torn_at_every_byte() -> None:
    text = encode(EXAMPLE)
    for length in range(len(text) - 1):  # the last byte is a line feed that nothing depends on
        with pytest.raises(StampError):
            decode(text[:length])
    assert decode(text[:-1]) == EXAMPLE


def test_one_bit_flipped_anywhere() -> None:
    content = encode(EXAMPLE).encode()
    for place in range(len(content)):
        for bit in range(8):
            flipped = bytearray(content)
            flipped[place] ^= 1 << bit
            with pytest.raises(StampError):
                decode(flipped.decode("utf-8", errors="replace"))


@given(st.text() | st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(json.dumps))
def test_what_is_no_stamp_is_a_stamp_error(text: str) -> None:
    with pytest.raises(StampError):
        decode(text)


@pytest.mark.parametrize("schema", [0, 2, "1", None])
def test_a_stamp_of_another_schema(schema: object) -> None:
    document = json.loads(encode(EXAMPLE))
    del document["checksum"]
    document["schema"] = schema
    document["checksum"] = stamp._checksum(document)
    with pytest.raises(StampError, match="schema"):
        decode(json.dumps(document))


def test_a_stamp_changed_by_hand() -> None:
    with pytest.raises(StampError, match="checksum"):
        decode(encode(EXAMPLE).replace("d" * 64, "e" * 64))


def test_the_digest_stands_in_the_file_as_text() -> None:
    # What the boot fast path looks for without parsing.
    assert f'"hardware_digest": "{"d" * 64}"' in encode(EXAMPLE)


def test_one_value_has_another_fingerprint_under_each_name() -> None:
    assert fingerprint("machine-id", "x") != fingerprint("hostname", "x")
    assert len(fingerprint("machine-id", "x")) == 32


def test_values_never_stand_in_the_stamp() -> None:
    secret = "0123456789abcdef0123456789abcdef"
    everywhere = {"machine-id": frozenset({secret})}
    taken = take(everywhere, frozenset(), {"product-uuid": frozenset({secret})}, "", everywhere)
    assert secret not in encode(taken)
    assert taken.inherited == taken.artefacts
    assert taken.artefacts["machine-id"] == fingerprints("machine-id", [secret])


def test_what_cannot_be_compared_is_left_out() -> None:
    taken = take(
        {
            "unreadable": Unreadable("no"),
            "lacking": Lacking("no"),
            "empty": frozenset(),
            "volatile": frozenset({"x"}),
            "kept": frozenset({"x"}),
        },
        frozenset({"volatile"}),
        {"empty": frozenset(), "kept": frozenset({"x"})},
        "d",
        {"empty": frozenset(), "volatile": frozenset({"x"}), "kept": frozenset({"x"})},
    )
    assert set(taken.artefacts) == {"kept"}
    assert set(taken.inherited) == {"kept"}
    assert set(taken.hardware) == {"kept"}


def test_a_stamp_from_before_it_told_what_is_inherited() -> None:
    document = json.loads(encode(EXAMPLE))
    del document["checksum"], document["inherited"]
    document["checksum"] = stamp._checksum(document)
    assert decode(json.dumps(document)) == replace(EXAMPLE, inherited={})
