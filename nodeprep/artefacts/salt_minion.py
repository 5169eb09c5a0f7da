"""Salt minion: the key and the ID under which a master knows it (docs.saltproject.io, "Configuring the minion")."""

from __future__ import annotations

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Kind, Reading, Stage
from nodeprep.reading import digests, removals, set_aside
from nodeprep.steps import Action

ENROLMENT = ("/etc/salt/minion_id", "/etc/salt/pki/minion/minion.pub", "/etc/salt/pki/minion/minion.pem")
"""The ID is made from the hostname once and kept (`minion_id_caching`); the key pair is made anew where there is none.

The master's public key beside them stays: whom to trust is no identity of this machine.
"""


def observe(machine: MachineView) -> Reading:
    """Return path and digest of each."""
    return digests(machine, ENROLMENT)


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Take the enrolment out of the image."""
    return removals(machine, ENROLMENT)


ARTEFACT = Artefact(
    name="salt-minion",
    title="Salt minion's key",
    reason="The master takes all copies for one minion, and what it orders is done by whichever hears it first.",
    kind=Kind.C,
    stage=Stage.EARLY,
    observe=observe,
    plan=set_aside,
    confidential=True,
    holds=("salt-minion.service",),
    remedy="rm /etc/salt/minion_id /etc/salt/pki/minion/minion.*; systemctl restart nodeprep.service",
    seal=seal,
)
