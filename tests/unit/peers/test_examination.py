"""Examination: the frames by which a node has its openings tried; nothing but an authentic one says anything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeprep.peers import message
from nodeprep.peers.examination import (
    PROBES_MAX,
    RANGES_MAX,
    Ask,
    Body,
    Here,
    Range,
    Result,
    State,
    Told,
    Who,
    cookie_for,
    decode,
    encode,
    next_stamp,
)
from nodeprep.peers.message import PAYLOAD_MAX_BYTES, BadFrame, Reason

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
ME, YOU, COOKIE = b"m" * 16, b"y" * 16, b"c" * 16
ASK = Ask(YOU, COOKIE, 7, "10.77.0.10", "worker-1", (Range("tcp", 22, 22), Range("udp", 30000, 30002)), 3)
BODIES = (
    Who(),
    Here(YOU, COOKIE, "control-plane,etcd"),
    ASK,
    Ask(YOU, COOKIE, 2**32 - 1, "fd77::1", "", ()),
    Told(YOU, 7, State.UNDER_WAY),
    Told(YOU, 7, State.DONE, "10.77.0.11", "fd77::2", 1024, tuple(Result)),
)


@pytest.mark.parametrize("body", BODIES, ids=lambda body: type(body).__name__)
def test_what_was_said_is_what_is_heard(body: Body) -> None:
    assert decode(encode(body, ME, 5, NEW), (OLD, NEW)) == (body, ME, 5, 1)


def test_the_largest_question_and_the_largest_answer_fit_into_a_frame() -> None:
    ranges = tuple(Range("tcp", port, port) for port in range(1, RANGES_MAX + 1))
    asked = encode(Ask(YOU, COOKIE, 1, "fd77::1", "x" * 64, ranges), ME, 1, OLD)
    told = encode(Told(YOU, 1, State.DONE, "fd77::1", "fd77::1", 0, (Result.SILENT,) * 1024), ME, 1, OLD)
    assert max(len(asked), len(told)) <= PAYLOAD_MAX_BYTES


def test_results_are_in_the_order_of_the_ports_asked_for() -> None:
    assert ASK.probes == (("tcp", 22), ("udp", 30000), ("udp", 30001), ("udp", 30002))


@pytest.mark.parametrize("at", range(len(encode(ASK, ME, 5, OLD))))
def test_a_frame_with_a_bit_changed_anywhere_says_nothing(at: int) -> None:
    payload = bytearray(encode(ASK, ME, 5, OLD))
    payload[at] ^= 1
    with pytest.raises(BadFrame):
        decode(bytes(payload), (OLD,))


def test_a_frame_under_another_key_or_cut_short_says_nothing() -> None:
    payload = encode(ASK, ME, 5, OLD)
    with pytest.raises(BadFrame) as refused:
        decode(payload, (NEW,))
    assert refused.value.reason is Reason.UNAUTHENTIC
    for length in range(len(payload)):
        with pytest.raises(BadFrame):
            decode(payload[:length], (OLD,))


def test_padding_of_the_link_is_no_part_of_the_frame() -> None:
    assert decode(encode(Who(), ME, 5, OLD) + bytes(20), (OLD,))[0] == Who()


def test_neither_kind_of_frame_is_taken_for_the_other() -> None:
    claims = frozenset({message.claim(OLD, message.ClaimKind.HOSTNAME, "worker")})
    (probe,) = message.encode(message.Message(message.MessageType.PROBE, ME, message.Standing.READY, claims), OLD)
    with pytest.raises(BadFrame) as refused:
        decode(probe, (OLD,))
    assert refused.value.reason is Reason.NOT_OURS
    with pytest.raises(BadFrame):
        message.decode(encode(ASK, ME, 5, OLD), OLD)
    with pytest.raises(BadFrame):
        decode(b"ndpx" + probe[4:], (OLD,))


def resealed(payload: bytes, at: int, value: int) -> bytes:
    """Return an authentic frame with one byte that this version cannot mean."""
    from nodeprep.peers.examination import _mac

    front = payload[:at] + bytes((value,)) + payload[at + 1 : -16]
    return front + _mac(OLD, front)


@pytest.mark.parametrize(
    ("at", "value"),
    [(31, 9), (48, 0), (-22, 200), (-21, 99)],
    ids=["type", "who-to-somebody", "ranges", "protocol"],
)
def test_an_authentic_frame_that_makes_no_sense_is_malformed(at: int, value: int) -> None:
    payload = encode(Ask(YOU, COOKIE, 7, "10.77.0.10", "w", (Range("tcp", 22, 22),)), ME, 5, OLD)
    if (at, value) == (48, 0):
        payload, at, value = encode(Who(), ME, 5, OLD), 32, 1
    with pytest.raises(BadFrame) as refused:
        decode(resealed(payload, at % len(payload), value), (OLD,))
    assert refused.value.reason is Reason.MALFORMED


@given(st.binary(max_size=300))
def test_whatever_an_insider_says_is_either_meaningful_or_malformed(rest: bytes) -> None:
    from nodeprep.peers.examination import _HEADER, _mac

    reasons = set()
    for kind in range(6):
        front = _HEADER.pack(b"ndpx", 1, _HEADER.size + len(rest) + 16, ME, 1, kind, YOU) + rest
        try:
            body, *_ = decode(front + _mac(OLD, front), (OLD,))
        except BadFrame as refused:
            reasons.add(refused.reason)
        else:
            assert decode(encode(body, ME, 1, OLD), (OLD,))[0] == body
    assert reasons == {Reason.MALFORMED}


@pytest.mark.parametrize("ports", [("icmp", 1, 1), ("tcp", 0, 1), ("tcp", 2, 1), ("udp", 1, 65536)])
def test_what_are_no_ports_is_no_range(ports: tuple[str, int, int]) -> None:
    with pytest.raises(ValueError, match="no ports"):
        Range(*ports)


def test_a_question_is_bounded() -> None:
    with pytest.raises(ValueError, match=str(PROBES_MAX)):
        Ask(YOU, COOKIE, 1, "10.77.0.10", "", (Range("tcp", 1, PROBES_MAX + 1),))
    with pytest.raises(ValueError, match="name"):
        Ask(YOU, COOKIE, 1, "10.77.0.10", "x" * 65, ())


def test_a_cookie_is_good_for_one_asker_at_one_place() -> None:
    made = {cookie_for(secret, who, where) for secret in (OLD, NEW) for who in (ME, YOU) for where in ("a b", "a c")}
    assert len(made) == 8
    assert cookie_for(OLD, ME, "a b") in made


def test_stamps_grow_also_where_the_clock_stands_still() -> None:
    assert next_stamp(0, 1.5) == 1_500_000
    assert next_stamp(1_500_000, 1.5) == 1_500_001
    assert next_stamp(2**64 - 1, 1.5) == 2**64 - 1
