"""The renewal under way: a file that another boot can rely on, or none."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeprep.errors import StampError
from nodeprep.model import Origin
from nodeprep.renewal import Renewal, decode, encode
from nodeprep.stamp import fingerprints

PRINTS = st.frozensets(st.text("0123456789abcdef", min_size=32, max_size=32), max_size=3)
RENEWALS = st.builds(
    Renewal,
    origin=st.sampled_from(Origin),
    reason=st.text(),
    inherited=st.dictionaries(st.text(max_size=12), PRINTS, max_size=4),
    reboots=st.integers(0, 9),
)
EXAMPLE = Renewal(
    Origin.CLONE,
    "product UUID new, permanent MACs new: a copy on other hardware",
    {"machine-id": fingerprints("machine-id", ["m"]), "ssh-host-keys": fingerprints("ssh-host-keys", ["a", "b"])},
    1,
)


@given(RENEWALS)
def test_what_is_encoded_is_decoded(one: Renewal) -> None:
    assert decode(encode(one)) == one


def test_torn_at_every_byte() -> None:
    text = encode(EXAMPLE).rstrip()
    for length in range(len(text)):
        with pytest.raises(StampError):
            decode(text[:length])


def test_one_bit_flipped_anywhere_never_hides_what_is_inherited() -> None:
    content = encode(EXAMPLE).encode()
    unnoticed = []
    for place in range(len(content)):
        for bit in range(8):
            flipped = bytearray(content)
            flipped[place] ^= 1 << bit
            try:
                read = decode(flipped.decode("utf-8", errors="replace"))
            except StampError:
                continue
            if read.inherited != EXAMPLE.inherited or read.origin != EXAMPLE.origin:
                unnoticed.append((place, bit))
    assert not unnoticed, f"{len(unnoticed)} of {len(content) * 8} flipped bits are taken for another renewal"


@given(st.text() | st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(json.dumps))
def test_what_is_no_renewal_is_a_stamp_error(text: str) -> None:
    with pytest.raises(StampError):
        decode(text)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("schema", 2),
        ("origin", "elsewhere"),
        ("inherited", ["machine-id"]),
        ("inherited", {"machine-id": 5}),
        ("reboots", "often"),
        ("reboots", None),
        ("reboots", float("inf")),
    ],
)
def test_a_value_that_cannot_be(key: str, value: object) -> None:
    document = json.loads(encode(EXAMPLE))
    document[key] = value
    with pytest.raises(StampError):
        decode(json.dumps(document))


@pytest.mark.parametrize("key", ["schema", "origin", "reason", "inherited", "reboots"])
def test_a_key_that_is_missing(key: str) -> None:
    document = json.loads(encode(EXAMPLE))
    del document[key]
    with pytest.raises(StampError):
        decode(json.dumps(document))
