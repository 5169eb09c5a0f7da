"""Bulletin: the status document, in the files in which everybody may read it: as JSON, and as metrics."""

from __future__ import annotations

import json

from nodeprep import metrics, report
from nodeprep.host.local import LocalMachine


class Bulletin:
    """The status file of one daemon."""

    def __init__(self, files: LocalMachine) -> None:
        self._files = files
        self._written = b""
        self._measured = b""

    def write(self, document: report.Document) -> None:
        """Write the document, if it is another than the last. Raises HostError."""
        text = json.dumps(document, indent=1).encode() + b"\n"
        if text != self._written:
            self._files.write_own(report.STATUS_FILE, text, 0o644)
            self._written = text
        measured = metrics.metrics(document).encode()
        if measured != self._measured:
            self._files.write_own(metrics.FILE, measured, 0o644)
            self._measured = measured
