"""`nodeprep daemon`: the service, as systemd starts it."""

from __future__ import annotations

from nodeprep import daemon
from nodeprep.verbs import Typed


def main(_typed: Typed) -> int:
    """Run until systemd ends it, and return the exit code."""
    return daemon.main()
