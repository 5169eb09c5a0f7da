"""Puppet agent: the key and certificate under which a server knows it (puppet.com/docs, "dirs_ssldir")."""

from __future__ import annotations

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Kind, Reading, Stage, Values
from nodeprep.reading import digests, literal, set_aside
from nodeprep.steps import Action, Remove

SSL_FOLDERS = ("/var/lib/puppet/ssl", "/etc/puppetlabs/puppet/ssl")
"""Debian's packages and the vendor's."""
KINDS = ("certificate_requests", "certs", "private_keys", "public_keys")


def observe(machine: MachineView) -> Reading:
    """Return path and digest of keys and certificates, but for the authority's: whom to trust is no identity."""
    return _own(digests(machine, (f"{folder}/{kind}/*.pem" for folder in SSL_FOLDERS for kind in KINDS)))


def _own(values: Values) -> Values:
    return frozenset(value for value in values if not value.split(" ", 1)[0].endswith("/certs/ca.pem"))


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Take keys and certificates out of the image."""
    found = observe(machine)
    assert isinstance(found, frozenset)
    return tuple(Remove(literal(value.split(" ", 1)[0])) for value in sorted(found))


ARTEFACT = Artefact(
    name="puppet-agent",
    title="Puppet agent's certificate",
    reason="The server gives every copy the catalogue of one node, and their reports replace each other.",
    kind=Kind.C,
    stage=Stage.EARLY,
    observe=observe,
    plan=set_aside,
    confidential=True,
    # pxp-agent carries orders from the server under the same certificate.
    holds=("puppet.service", "pxp-agent.service"),
    remedy='rm -r "$(puppet config print ssldir)"; systemctl restart nodeprep.service',
    seal=seal,
)
