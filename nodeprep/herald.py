"""Herald: journal entries on what comes of a run, each with the code and MESSAGE_ID by which it is found again."""

from __future__ import annotations

from collections.abc import Sequence

from nodeprep import run
from nodeprep.host import journal
from nodeprep.messages import BY_CODE
from nodeprep.report import Problem
from nodeprep.run import Run

GRAVE = (
    *("conflict", "dispute", "config", "machine", "joined-clone", "address-in-use", "mac-in-use", "echo"),
    *("claimed", "registry-copy", "registry-away", "registry-refused", "released", "no-number"),
    *("no-fleet-key", "foreign-key", "no-link"),
)


class Herald:
    """What one daemon has said."""

    def __init__(self) -> None:
        self._log = journal.logger()
        self._said: set[run.Change] = set()
        self._told_of_foreigners = False

    def mention(self, what: str) -> None:
        """Say what is going on, for those who look for it."""
        self._log.debug(what)

    def say(self, this: Run | None, state: str, code: str, detail: str, **fields: str) -> None:
        """Write a journal entry on a code."""
        message = BY_CODE[code]
        origin = this.decision.origin.value if this else ""
        roles = ",".join(this.config.node.roles) if this else ""
        self._log.info(
            f"{message.title}: {detail}",
            message_id=message.message_id,
            level="warning" if code in GRAVE else "notice",
            code=code,
            verdict=state,
            origin=origin,
            role=roles,
            **fields,
        )

    def say_changes(self, this: Run | None, state: str) -> None:
        """Write an entry on each change of a renewal that was not told yet."""
        for change in set(this.changes.values()) - self._said if this else ():
            self._said.add(change)
            detail = f"{change.artefact}: {change.old} -> {change.new}"
            self.say(this, state, "renewed", detail, subject=change.artefact, old=change.old, new=change.new)

    def say_adopted(self, this: Run, state: str) -> None:
        """Write an entry on each artefact that an operator changed."""
        for name in this.adopted():
            self.say(this, state, "adopted", f"{name} was changed by an operator", subject=name)

    def say_foreign(self, this: Run | None, state: str, problems: Sequence[Problem]) -> None:
        """Write an entry when somebody is heard under another fleet key, and none while that lasts."""
        if problems and not self._told_of_foreigners:
            self.say(this, state, "foreign-key", problems[0].detail)
        self._told_of_foreigners = bool(problems)
