"""Nonce: 16 random bytes by which this machine is known in one boot, to peers and in the registry."""

from __future__ import annotations

import secrets

from nodeprep.host.local import LocalMachine
from nodeprep.peers.message import NONCE_BYTES

FILE = "/run/nodeprep/nonce"


def nonce(files: LocalMachine) -> bytes:
    """Return the nonce of this boot; a daemon that starts again is the same peer to the others. Raises HostError."""
    kept = files.read_bytes(FILE)
    if kept is None or len(kept) != NONCE_BYTES:
        kept = secrets.token_bytes(NONCE_BYTES)
        files.write_own(FILE, kept, 0o600)
    return kept
