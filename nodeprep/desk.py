"""Desk: the daemon's side of the registry, if the configuration names one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from nodeprep import tell
from nodeprep.config import Config
from nodeprep.errors import RegistryError
from nodeprep.guard import less
from nodeprep.host import programs
from nodeprep.host.local import LocalMachine
from nodeprep.model import Claim, Values
from nodeprep.nonce import nonce
from nodeprep.registry.claimed import Troubles
from nodeprep.registry.keys import claims_of
from nodeprep.report import Problem
from nodeprep.run import Run
from nodeprep.settle import Settler, speaker_of

if TYPE_CHECKING:
    from nodeprep.registrar import Registrar


class Desk:
    """One daemon's desk; `on_news` is called when the registry has become another's, or is away, or there again."""

    def __init__(self, files: LocalMachine, on_news: Callable[[], None]) -> None:
        self._files = files
        self._on_news = on_news
        self._made_for: object = None
        self._told: Troubles = ()
        self.registrar: Registrar | None = None

    @property
    def problems(self) -> list[Problem]:
        """What the registry has against this machine now."""
        return [Problem(code, "registry", text) for code, text in self._troubles]

    @property
    def _troubles(self) -> Troubles:
        return self.registrar.troubles if self.registrar else ()

    def is_new(self) -> bool:
        """Whether `problems` are others than when this was asked last, or the machine was judged."""
        before, self._told = self._told, self._troubles
        return before != self._told

    def follow(self, settings: Config, keys: tuple[bytes, ...]) -> Registrar | None:
        """Return the registrar that the configuration asks for; the one there is, if that has not changed.

        Until it is judged anew, nothing is defended.
        """
        if (settings.registry, keys) != self._made_for:
            self.close()
            self._made_for = settings.registry, keys
            if settings.registry.etcd:
                from nodeprep.registrar import make_registrar  # noqa: PLC0415 (what no other node needs)

                self.registrar = make_registrar(settings.registry, keys, self._files, nonce(self._files), self._on_news)
        elif self.registrar:
            self.registrar.rest()
        return self.registrar

    def judged(self, problems: Sequence[Problem], settler: Settler, settings: Config) -> list[Problem]:
        """Return the problems with what came of claiming in them."""
        self._told = self._troubles  # with what follows from these problems
        found = tell.registered(problems, self.registrar, settler.claimed)
        if settler.is_numberless:
            found.append(Problem("no-number", "hostname", f"every number of {settings.node.hostname} is taken"))
        return found

    def defend(self, this: Run, contested: Mapping[Claim, Values]) -> None:
        """Look after what a ready machine claims, but for what of it a peer contests."""
        if self.registrar:
            self.registrar.defend(speaker_of(this), less(claims_of(this.observation), contested))

    async def leave(self) -> None:
        """Say in the registry that the machine is shut down, if it is, and not the daemon alone."""
        if self.registrar is None:
            return
        is_stopping = await asyncio.to_thread(programs.is_stopping)
        try:
            if is_stopping:
                await self.registrar.park()
        except RegistryError:
            pass  # then the next boot asks whether a copy of it runs
        self.close()

    def close(self) -> None:
        """Let go of the registry."""
        if self.registrar:
            self.registrar.close()
        self.registrar = None
