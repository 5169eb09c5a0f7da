"""Machine account: the keys with which this machine logs in to a domain (krb5.conf(5), smb.conf(5), sssd(8))."""

from __future__ import annotations

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Kind, Reading, Stage
from nodeprep.reading import digests, removals, set_aside
from nodeprep.steps import Action

KEYS = ("/etc/krb5.keytab", "/var/lib/samba/private/secrets.tdb", "/var/lib/sss/secrets/.secrets.mkey")


def observe(machine: MachineView) -> Reading:
    """Return path and digest of each."""
    return digests(machine, KEYS)


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Take the keys out of the image."""
    return removals(machine, KEYS)


ARTEFACT = Artefact(
    name="machine-account",
    title="machine account's keys",
    reason="Whichever copy changes the account's password first, as all do every month, locks the others out.",
    kind=Kind.C,
    stage=Stage.EARLY,
    observe=observe,
    plan=set_aside,
    confidential=True,
    # Nothing is held: sssd and winbind say who may log in, and nobody could any more.
    holds=(),
    # Not `realm leave`: it would delete the account that the template uses.
    remedy="from a local account: rm /etc/krb5.keytab /var/lib/samba/private/secrets.tdb; realm join DOMAIN",
    seal=seal,
)
