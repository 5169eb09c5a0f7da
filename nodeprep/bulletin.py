"""Bulletin: the status document, in the file in which everybody may read it."""

from __future__ import annotations

import json

from nodeprep import report
from nodeprep.host.local import LocalMachine


class Bulletin:
    """The status file of one daemon."""

    def __init__(self, files: LocalMachine) -> None:
        self._files = files
        self._written = b""

    def write(self, document: report.Document) -> None:
        """Write the document, if it is another than the last. Raises HostError."""
        text = json.dumps(document, indent=1).encode() + b"\n"
        if text != self._written:
            self._files.write_own(report.STATUS_FILE, text, 0o644)
            self._written = text
