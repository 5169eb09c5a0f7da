"""Socket filters in classic BPF (Linux Documentation/networking/filter.rst): what the kernel need not hand to us.

A program is a list of steps; one that compares goes on where it matches and drops the frame where it does not, unless
it says otherwise.
"""

from __future__ import annotations

import array
import socket
import struct
from collections.abc import Sequence

from nodeprep.errors import HostError

SO_ATTACH_FILTER = 26
ACCEPT_BYTES = 2048
SKF_AD_OFF = 0xFFFFF000
PKTTYPE, IFINDEX, VLAN_TAG_PRESENT = SKF_AD_OFF + 4, SKF_AD_OFF + 8, SKF_AD_OFF + 48
_LD, _LDH, _LDB, _LD_LENGTH, _TAX = 0x20, 0x28, 0x30, 0x80, 0x07
_JEQ, _JGT, _JGE, _JSET, _JGE_X, _RET = 0x15, 0x25, 0x35, 0x45, 0x3D, 0x06
_SIZES = {1: _LDB, 2: _LDH, 4: _LD}

Instruction = tuple[int, int, int, int]
"""Code, how many to skip if true, how many if false, operand."""


class Program:
    """A filter under construction; the methods return it, so that they read as a sentence."""

    def __init__(self) -> None:
        self._code: list[tuple[int, str, str, int]] = []
        self._labels: dict[str, int] = {}

    def load(self, offset: int, size: int) -> Program:
        """Load 1, 2 or 4 bytes of the frame, or one of the kernel's values about it (4)."""
        return self._add(_SIZES[size], "", "", offset)

    def equal(self, value: int, *, yes: str = "", no: str = "drop") -> Program:
        """Compare what was loaded."""
        return self._add(_JEQ, yes, no, value)

    def any_bit(self, mask: int, *, yes: str = "", no: str = "drop") -> Program:
        """Test whether one of these bits is set."""
        return self._add(_JSET, yes, no, mask)

    def within(self, least: int, most: int) -> Program:
        """Drop the frame unless what was loaded is within these bounds."""
        self._add(_JGE, "", "drop", least)
        return self._add(_JGT, "drop", "", most)

    def fits(self) -> Program:
        """Drop the frame unless it has at least as many bytes as was loaded."""
        self._add(_TAX, "", "", 0)
        self._add(_LD_LENGTH, "", "", 0)
        return self._add(_JGE_X, "", "drop", 0)

    def label(self, name: str) -> Program:
        """Name the next step."""
        self._labels[name] = len(self._code)
        return self

    def accept(self) -> Program:
        """Hand the frame to us."""
        return self._add(_RET, "", "", ACCEPT_BYTES)

    def instructions(self) -> tuple[Instruction, ...]:
        """Return the program with its last step, which drops the frame."""
        labels = {**self._labels, "drop": len(self._code)}
        code = [
            (code, self._skip(labels, at, yes), self._skip(labels, at, no), value)
            for at, (code, yes, no, value) in enumerate(self._code)
        ]
        return (*code, (_RET, 0, 0, 0))

    def _add(self, code: int, yes: str, no: str, value: int) -> Program:
        self._code.append((code, yes, no, value))
        return self

    @staticmethod
    def _skip(labels: dict[str, int], at: int, label: str) -> int:
        return labels[label] - at - 1 if label else 0


def attach(to: socket.socket, program: Program) -> None:
    """Filter a socket; before it is bound, or frames that came earlier stay in its queue. Raises HostError."""
    code: Sequence[Instruction] = program.instructions()
    packed = array.array("B", b"".join(struct.pack("=HBBI", *step) for step in code))
    address, _ = packed.buffer_info()
    try:
        to.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("@HP", len(code), address))
    except OSError as error:
        raise HostError(f"socket filter: {error.strerror}") from error
