"""Readings of files: what an artefact whose identity is the content of some files observes, and sets aside again.

A value is "PATH DIGEST", so that a secret is never part of a reading, and two files are two values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import sha256

from nodeprep.machine import MachineView
from nodeprep.model import Finding, Values
from nodeprep.steps import Fresh, Remove, SetAside, Situation

SPECIAL = re.compile(r"([*?[])")


def digests(machine: MachineView, patterns: Iterable[str]) -> Values:
    """Return path and digest of every file that matches and is not empty. Raises HostError."""
    return frozenset(
        f"{path} {sha256(content).hexdigest()}"
        for pattern in patterns
        for path in machine.glob(pattern)
        if (content := machine.read_bytes(path))
    )


def places(machine: MachineView, patterns: Iterable[str]) -> Values:
    """Return every path that matches, a folder as well as a file: where being there is what counts."""
    return frozenset(path for pattern in patterns for path in machine.glob(pattern))


def set_aside(finding: Finding, _fresh: Fresh, _situation: Situation) -> tuple[SetAside, ...]:
    """Set aside what a finding names: the plan of an artefact whose owner makes it anew, or does without."""
    return tuple(SetAside(literal(path)) for path in sorted({value.split(" ", 1)[0] for value in finding.values}))


def removals(machine: MachineView, patterns: Iterable[str]) -> tuple[Remove, ...]:
    """Return the removal of everything that matches, in the order of the patterns, for an image that is sealed."""
    return tuple(dict.fromkeys(Remove(literal(path)) for pattern in patterns for path in machine.glob(pattern)))


def literal(path: str) -> str:
    """Return the pattern that matches this path and no other (glob(7))."""
    return SPECIAL.sub(r"[\1]", path)
