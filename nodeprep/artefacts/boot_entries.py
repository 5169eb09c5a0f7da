"""Boot entries: boot loader entries and the entry token, where they bear a machine ID (kernel-install(8))."""

from __future__ import annotations

import re

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Finding, Kind, Reading, Stage
from nodeprep.steps import Action, Fresh, Situation

ENTRY_NAME = "/etc/kernel/entry-token"
MACHINE_ID = "[0-9a-f]" * 32
ENTRIES = tuple(f"{folder}/loader/entries/{MACHINE_ID}-*.conf" for folder in ("/boot", "/boot/efi", "/efi"))


def observe(machine: MachineView) -> Reading:
    """Return the machine IDs that entries and token bear."""
    token = (machine.read_text(ENTRY_NAME) or "").strip()
    named = {path.rsplit("/", 1)[1][:32] for pattern in ENTRIES for path in machine.glob(pattern)}
    return frozenset(named | ({token} if re.fullmatch("[0-9a-f]{32}", token) else set()))


def plan(finding: Finding, fresh: Fresh, situation: Situation) -> tuple[Action, ...]:
    """Do nothing: an entry that is taken away may be the one that boots."""
    return ()


ARTEFACT = Artefact(
    name="boot-entries",
    title="boot entries",
    reason="They bear the template's machine ID; a disk with two machines' entries cannot tell them apart.",
    kind=Kind.R,
    stage=Stage.EARLY,
    observe=observe,
    plan=plan,
    confidential=True,
    remedy="cp /etc/machine-id /etc/kernel/entry-token; "
    'kernel-install add "$(uname -r)" "/boot/vmlinuz-$(uname -r)"; then, after a reboot, remove the old entries',
)
