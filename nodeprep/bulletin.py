"""Bulletin: the status document, in the files in which everybody may read it: as JSON, and as metrics."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from nodeprep import metrics, report
from nodeprep.errors import HostError
from nodeprep.host.local import LocalMachine

SOON_S = 10.0
"""How long the files may say less than has been heard."""


class Bulletin:
    """The status files of one daemon; `draw` returns what they are to say."""

    def __init__(self, files: LocalMachine, draw: Callable[[], report.Document]) -> None:
        self._files = files
        self._draw = draw
        self._written = b""
        self._measured = b""
        self._due: asyncio.TimerHandle | None = None

    def write(self) -> None:
        """Write what there is to say, if it is not what was written last. Raises HostError."""
        if self._due:
            self._due.cancel()
            self._due = None
        document = self._draw()
        text = json.dumps(document).encode() + b"\n"
        if text != self._written:
            self._files.write_own(report.STATUS_FILE, text, 0o644)
            self._written = text
        measured = metrics.metrics(document).encode()
        if measured != self._measured:
            self._files.write_own(metrics.FILE, measured, 0o644)
            self._measured = measured

    def write_soon(self) -> None:
        """Have it written once for all that is heard meanwhile."""
        if self._due is None:
            self._due = asyncio.get_running_loop().call_later(SOON_S, self._write_due)

    def _write_due(self) -> None:
        try:
            self.write()
        except HostError:
            pass  # who looks next finds it out, and says so
