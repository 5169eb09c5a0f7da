"""Socket filters: where each step goes on. What the kernel makes of them is tried in tests/contract."""

from __future__ import annotations

import pytest

from nodeprep.host import bpf
from nodeprep.host.strangers import ADDRESSES_MAX, strangers


def test_a_step_skips_to_its_label_or_to_the_end() -> None:
    program = bpf.Program()
    program.load(12, 2).equal(0x0806, no="other").load(28, 4).equal(7)
    program.label("other").load(0, 1).any_bit(1).accept()
    assert program.instructions() == (
        (0x28, 0, 0, 12),
        (0x15, 0, 2, 0x0806),
        (0x20, 0, 0, 28),
        (0x15, 0, 3, 7),
        (0x30, 0, 0, 0),
        (0x45, 0, 1, 1),
        (0x06, 0, 0, bpf.ACCEPT_BYTES),
        (0x06, 0, 0, 0),
    )


@pytest.mark.parametrize("count", [0, 1, ADDRESSES_MAX])
def test_no_skip_is_longer_than_a_byte_can_tell(count: int) -> None:
    addresses = [number.to_bytes(4, "big") for number in range(count)]
    steps = strangers(2, bytes(6), addresses).instructions()
    assert all(max(yes, no) <= 255 for _, yes, no, _ in steps)
    assert all(at + 1 + max(yes, no) < len(steps) for at, (_, yes, no, _) in enumerate(steps[:-1]))
