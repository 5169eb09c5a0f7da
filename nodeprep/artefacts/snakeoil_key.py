"""Snakeoil TLS key: the self-signed pair that Debian's packages use until they get a real one (make-ssl-cert(8)).

Made in the staging folder and then put in its place: make-ssl-cert itself writes over the old pair, and a power cut
would leave halves. The certificate bears the hostname, so it comes after that.
"""

from __future__ import annotations

from hashlib import sha1

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Finding, Kind, Reading, Stage
from nodeprep.reading import digests
from nodeprep.steps import Action, Fresh, LinkFile, ReplaceFiles, RunProgram, Situation

KEY = "/etc/ssl/private/ssl-cert-snakeoil.key"
CERTIFICATE = "/etc/ssl/certs/ssl-cert-snakeoil.pem"


def observe(machine: MachineView) -> Reading:
    """Return a digest of the certificate, where there is a key to it."""
    return digests(machine, (CERTIFICATE,)) if machine.exists(KEY) else frozenset()


def plan(finding: Finding, fresh: Fresh, situation: Situation) -> tuple[Action, ...]:
    """Make a pair for the hostname, and put it in place, the key before the certificate that is observed."""
    name = situation.hostname
    if not name:
        return ()
    subject = ("-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-addext", "basicConstraints=CA:FALSE")
    key, certificate = f"{fresh.staging}{KEY}", f"{fresh.staging}{CERTIFICATE}"
    make = ("openssl", "req", "-new", "-x509", "-newkey", "rsa:2048", "-nodes", "-sha256", "-days", "3650")
    return (
        RunProgram((*make, *subject, "-keyout", key, "-out", certificate), timeout_s=120),
        LinkFile(f"/etc/ssl/certs/{subject_hash(name)}.0", CERTIFICATE.rsplit("/", 1)[1]),
        ReplaceFiles(KEY, key.rsplit("/", 1)[0]),
        ReplaceFiles(CERTIFICATE, certificate.rsplit("/", 1)[0]),
    )


def subject_hash(name: str) -> str:
    """Return what `openssl x509 -hash` says of a certificate whose subject is one common name (X509_NAME_hash(3))."""
    text = name.lower().encode()
    attribute = b"\x06\x03\x55\x04\x03\x0c" + bytes((len(text),)) + text
    encoded = b"\x31" + bytes((len(attribute) + 2,)) + b"\x30" + bytes((len(attribute),)) + attribute
    return f"{int.from_bytes(sha1(encoded, usedforsecurity=False).digest()[:4], 'little'):08x}"


ARTEFACT = Artefact(
    name="snakeoil-key",
    title="snakeoil TLS key",
    reason="Who has one clone can read and forge the TLS traffic of all.",
    kind=Kind.A,
    stage=Stage.MAIN,
    after=("hostname",),
    observe=observe,
    plan=plan,
    confidential=True,
    restart=("apache2.service", "exim4.service", "nginx.service", "postfix.service", "postgresql.service"),
    # Not sealed: servers do not start without it, and the first boot renews the pair it finds.
)
