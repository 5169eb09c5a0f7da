"""Snakeoil TLS key: the self-signed pair that Debian's packages use until they get a real one (make-ssl-cert(8)).

Made in the staging folder and then put in its place: make-ssl-cert itself writes over the old pair, and a power cut
would leave halves. The certificate bears the hostname, so it comes after that. A sealed image has no pair: servers do
not start without it, so that its first boot makes one early, for the hostname that the template will give.
"""

from __future__ import annotations

from hashlib import sha1

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Finding, Kind, Reading, Stage, Verdict
from nodeprep.reading import digests, removals
from nodeprep.steps import Action, Fresh, LinkFile, ReplaceFiles, RunProgram, Situation

KEY = "/etc/ssl/private/ssl-cert-snakeoil.key"
CERTIFICATE = "/etc/ssl/certs/ssl-cert-snakeoil.pem"
OWNER, READERS = "/usr/sbin/make-ssl-cert", "ssl-cert"
"""What makes the pair when it is installed, and the group that may read the key."""


def observe(machine: MachineView) -> Reading:
    """Return a digest of the certificate, where there is a key to it."""
    return digests(machine, (CERTIFICATE,)) if machine.exists(KEY) else frozenset()


def plan(finding: Finding, fresh: Fresh, situation: Situation) -> tuple[Action, ...]:
    """Make a pair for the hostname, and put it in place, the key before the certificate that is observed."""
    is_missing = finding.verdict is Verdict.MISSING
    name = situation.hostname or ("localhost" if is_missing else "")
    if not name:
        return ()
    subject = ("-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-addext", "basicConstraints=CA:FALSE")
    key, certificate = f"{fresh.staging}{KEY}", f"{fresh.staging}{CERTIFICATE}"
    make = ("openssl", "req", "-new", "-x509", "-newkey", "rsa:2048", "-nodes", "-sha256", "-days", "3650")
    # A pair that is replaced hands its mode and owner on; where there is none they are what make-ssl-cert gives.
    readable = (RunProgram(("chgrp", READERS, key)), RunProgram(("chmod", "640", key)))
    return (
        RunProgram((*make, *subject, "-keyout", key, "-out", certificate), timeout_s=120),
        *(readable if is_missing else ()),
        LinkFile(f"/etc/ssl/certs/{subject_hash(name)}.0", CERTIFICATE.rsplit("/", 1)[1]),
        ReplaceFiles(KEY, key.rsplit("/", 1)[0]),
        ReplaceFiles(CERTIFICATE, certificate.rsplit("/", 1)[0]),
    )


def lacks(machine: MachineView) -> str:
    """Say which half is not there, where ssl-cert is installed."""
    missing = next((path for path in (KEY, CERTIFICATE) if not machine.read_bytes(path)), "")
    groups = (machine.read_text("/etc/group") or "").splitlines()
    installed = machine.exists(OWNER) and any(line.startswith(f"{READERS}:") for line in groups)
    return f"there is no {missing}" if missing and installed else ""


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Take the pair out of the image."""
    return removals(machine, (CERTIFICATE, KEY))


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
    lacks=lacks,
    seal=seal,
)
