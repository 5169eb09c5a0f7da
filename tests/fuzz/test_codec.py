"""The codec under the corpus that fuzzing has kept, and under some more of it."""

from __future__ import annotations

import pytest

from nodeprep.peers import message as codec
from tests.fuzz.fuzzer import check, covered, fuzz, genuine, load, traced


@pytest.mark.parametrize("payload", load(), ids=lambda payload: f"{len(payload)} bytes")
def test_the_corpus_holds(payload: bytes) -> None:
    check(payload)


def test_the_corpus_reaches_every_verdict_and_every_type() -> None:
    verdicts = {check(payload) for payload in load()}
    reasons = {codec.Reason.STALE.value, codec.Reason.LIMITED.value}
    assert verdicts == {reason.value for reason in codec.Reason} - reasons | {"probe", "conflict", "announce"}


def test_the_corpus_takes_more_ways_than_frames_that_are_right() -> None:
    assert len(covered(load())) > len(covered(genuine()))


@pytest.mark.parametrize("seed", range(4))
def test_some_thousand_more_inputs_hold(seed: int) -> None:
    fuzz(seed, load(), 4000)


def test_the_fuzzer_finds_its_way_from_frames_that_are_right() -> None:
    new, jumps = fuzz(1, genuine(), 4000)
    assert new
    assert len(jumps) > len(covered(genuine()))


def test_the_fuzzer_reports_the_input_that_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = codec.decode

    def faulty(payload: bytes, key: bytes) -> codec.Message:
        if len(payload) > 100:
            raise IndexError("a fault")
        return sound(payload, key)

    monkeypatch.setattr(codec, "decode", faulty)
    with pytest.raises(AssertionError, match=r"IndexError.* for [0-9a-f]{202}"):
        fuzz(1, genuine()[1:2], 4000)


def test_only_the_codec_is_traced() -> None:
    assert traced(lambda: sorted([2, 1])) == frozenset()
