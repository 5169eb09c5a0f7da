"""Vigil: what the kernel tells of while a node only waits: a file, a link or a rule is not what it was.

It wakes its owner, who then looks at all of it. Where the kernel cannot tell, the owner looks from time to time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from nodeprep.errors import HostError
from nodeprep.host.foreman import Foreman
from nodeprep.host.inotify import Inotify
from nodeprep.host.monitor import POD_PREFIXES, LinkMonitor, RulesetMonitor, has_legacy_tables, name_of
from nodeprep.model import Link
from nodeprep.patience import Bell

Ear = TypeVar("Ear", Inotify, LinkMonitor, RulesetMonitor)

LOOK_AGAIN_S = 10.0
QUIET_S, QUIET_TIMES = 300.0, 6
"""While nothing happens, how often the status is written anew, and after how many times there is a look anyway."""
SETTLE_S, RULES_SETTLE_S = 0.3, 2.0
"""How long nothing more has to come: one change is several messages, and a firewall that loads its rules anew has none
for a while, when nobody should mend them."""
LOOKS_APART_S, RULES_APART_S = 2.0, 10.0
"""How soon after a look news lead to another: what an operator does, and what the networks of pods do all day."""
PATIENCE_S = 10.0
"""If more comes all the time, how long it is waited for."""
OURS = ("/run/nodeprep/", "/var/lib/nodeprep/")
"""What nodeprep itself writes there is no news; a verb that changes it tells the daemon."""


class Vigil:
    """One vigil, until `close`; `wake` is called when it is worth while to look. only_links: the others never are."""

    def __init__(self, wake: Callable[[], None], foreman: Foreman, only_links: Sequence[str] = ()) -> None:
        self._loop = asyncio.get_running_loop()
        self._wake = wake
        self._foreman = foreman
        self._only_links = only_links
        self._indexes: frozenset[int] = frozenset()
        self._looked_s = float("-inf")
        self._timer: asyncio.TimerHandle | None = None
        self._due: dict[float, tuple[float, float]] = {}
        """Of each kind of news, by how long it has to settle: since when there are any, and when to look."""
        self._is_whole, self._is_quiet = True, False
        self._files = self._open(Inotify, self._hear_files)
        self._links = self._open(LinkMonitor, self._hear_links)
        self._rules = self._open(RulesetMonitor, self._hear_rules)

    @property
    def is_blind(self) -> bool:
        """Whether something can change of which nobody tells."""
        return not self._is_whole or has_legacy_tables()

    async def wait(self, news: Bell, is_calm: Callable[[], bool], meanwhile: Callable[[], None]) -> None:
        """Return when it is time to look again.

        That is soon, and once more, before the owner is left alone for long: then nothing happens, all is well, and he
        is told of whatever changes.
        """
        self._is_quiet, was_quiet = not await news.wait(LOOK_AGAIN_S), self._is_quiet
        if not (self._is_quiet and was_quiet and is_calm()) or self.is_blind:
            return
        self._is_quiet = False
        await self._foreman.rest()
        for _ in range(QUIET_TIMES):
            if await news.wait(QUIET_S):
                return
            meanwhile()

    def follow(self, paths: Iterable[str], links: Iterable[Link]) -> None:
        """Take it that the owner has just looked, at these paths (or patterns) and links among other things."""
        self._looked_s = self._loop.time()
        self._indexes = frozenset(link.index for link in links)
        if self._files:
            try:
                self._files.follow(path for path in {*paths, *self._foreman.read} if not path.startswith(OURS))
            except HostError:
                self._is_whole = False  # too many watches on this machine, say

    def close(self) -> None:
        """Stop."""
        if self._timer:
            self._timer.cancel()
        for opened in (self._files, self._links, self._rules):
            if opened:
                self._loop.remove_reader(opened.fileno())
                opened.close()

    def _open(self, kind: type[Ear], hear: Callable[[], None]) -> Ear | None:
        try:
            opened = kind()
        except HostError:
            self._is_whole = False
            return None
        self._loop.add_reader(opened.fileno(), hear)
        return opened

    def _hear_files(self) -> None:
        if self._files and self._files.read():
            self._look_in(SETTLE_S, LOOKS_APART_S)

    def _hear_links(self) -> None:
        try:
            indexes = {index for _, index in self._links.read()} if self._links else ()
        except HostError:
            self._is_whole = False
            return
        if any(self._is_of_the_machine(index) for index in indexes):
            self._look_in(SETTLE_S, LOOKS_APART_S)

    def _hear_rules(self) -> None:
        try:
            if self._rules and self._rules.read():
                self._look_in(RULES_SETTLE_S, RULES_APART_S)
        except HostError:
            self._is_whole = False

    def _is_of_the_machine(self, index: int) -> bool:
        """Whether news of a link matter; those of pods come and go all day. 0 stands for news that were lost."""
        if index in self._indexes or index == 0:
            return True
        name = name_of(index)
        return name in self._only_links if self._only_links else bool(name) and not name.startswith(POD_PREFIXES)

    def _look_in(self, settle_s: float, apart_s: float) -> None:
        """Have the owner look once such news have settled, and no sooner after his last look than that."""
        now = self._loop.time()
        since_s, _ = self._due.get(settle_s, (now, 0.0))
        at_s = max(min(now + settle_s, since_s + PATIENCE_S), self._looked_s + apart_s)
        self._due[settle_s] = since_s, at_s
        if self._timer:
            self._timer.cancel()
        self._timer = self._loop.call_at(min(at_s for _, at_s in self._due.values()), self._ring)

    def _ring(self) -> None:
        self._timer, self._due = None, {}
        self._wake()
