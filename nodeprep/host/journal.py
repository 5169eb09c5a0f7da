"""The journal, through structlog and systemd-python: entries with a MESSAGE_ID and NODEPREP_* fields.

A journal that does not take an entry loses it without a word, so state is written before it is told.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any, cast

import structlog
from systemd import journal

PRIORITIES = {"debug": 7, "info": 6, "notice": 5, "warning": 4, "error": 3, "critical": 2}


def _send(_logger: object, method: str, event: MutableMapping[str, Any]) -> Any:
    """Send an event to the journal: the code's MESSAGE_ID, every other key as NODEPREP_KEY."""
    text = str(event.pop("event"))
    message_id = event.pop("message_id", None)
    fields = {f"NODEPREP_{key.upper()}": str(value) for key, value in event.items() if value not in (None, "")}
    priority = PRIORITIES[event.get("level", method)]
    fields.pop("NODEPREP_LEVEL", None)
    if message_id:
        fields["MESSAGE_ID"] = message_id
    journal.send(text, PRIORITY=priority, SYSLOG_IDENTIFIER="nodeprep", **fields)
    raise structlog.DropEvent


def logger() -> structlog.BoundLogger:
    """Return a logger whose events go to the journal."""
    structlog.configure(processors=[_send], wrapper_class=structlog.BoundLogger, cache_logger_on_first_use=False)
    return cast("structlog.BoundLogger", structlog.get_logger())
