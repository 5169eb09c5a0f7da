"""Choice: the firewall that openings are made in is the one that is active; what another had of ours is taken away."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from nodeprep.errors import HostError
from nodeprep.host.firewall.iptables import Iptables
from nodeprep.host.firewall.nftables import Nftables
from nodeprep.model import Opening

RETURN_S = 10.0
"""How long an active one may take to be so again: in a reload ufw has no rules, in a restart firewalld no name."""
POLL_S = 0.25


class Firewall(Protocol):
    """A backend. Methods raise HostError."""

    name: str

    @property
    def owned(self) -> re.Pattern[str]:
        """Chains that it closes with, title and reason, as `ForeignChain` has them."""
        ...

    def active(self) -> bool:
        """Say whether it decides on this machine what comes in."""
        ...

    def present(self, openings: Iterable[Opening], mode: str, ssh_ports: tuple[int, ...], /) -> bool: ...

    def apply(self, openings: Iterable[Opening], mode: str, ssh_ports: tuple[int, ...], /) -> None: ...

    def remove(self) -> None: ...

    def remarks(self, openings: Iterable[Opening], mode: str, /) -> tuple[str, ...]:
        """Return what an operator should know of it beside these openings, each a sentence."""
        ...


@dataclass(slots=True)
class Driven:
    """Which backend was found active last, and what became of what the others had of ours."""

    name: str = ""
    is_alone: bool = False
    is_withdrawn: bool = False
    left: str = ""
    """What is to be said where it could not be taken away."""


class Firewalls:
    """The backends of a machine, of which one is driven."""

    def __init__(
        self, managers: Sequence[Firewall], iptables: Iptables, nftables: Nftables, driven: Driven | None = None
    ) -> None:
        """Take them in the order in which they are asked: who manages the rules of others comes before those.

        driven: what is known from before, and kept up to date.
        """
        self._iptables = iptables
        self._nftables = nftables
        self._all: tuple[Firewall, ...] = (*managers, iptables, nftables)
        self._known = driven or Driven()
        self._driven = next((each for each in self._all if each.name == self._known.name), None)

    @property
    def name(self) -> str:
        """The one that is driven, "-" where none is."""
        return self._driven.name if self._driven else "-"

    def apply(self, openings: tuple[Opening, ...], mode: str, backend: str) -> None:
        """Make the openings, unless they are as they should be, in this backend, or in the active one for "auto".

        In mode "off" what there is of ours is taken away, and where that fails a remark says so. Raises HostError.
        """
        if mode == "off":
            self._withdraw()
            return
        chosen = self._choose(backend)
        ports = self._nftables.ssh_ports()
        if not chosen.present(openings, mode, ports):
            chosen.apply(openings, mode, ports)
        known = self._known
        if chosen is not self._driven:
            known.is_alone = False  # the others keep what they have until this one is found active once more
        elif not known.is_alone:
            known.left = self._clear(chosen)
            known.is_alone = not known.left
        self._driven, known.name, known.is_withdrawn = chosen, chosen.name, False

    def closed_by(self, openings: tuple[Opening, ...]) -> tuple[str, ...]:
        """Return the chains of others that may close these openings, and how. Raises HostError."""
        owned = self._driven.owned if self._driven else None
        chains = self._iptables.closed_by(openings, self._nftables.closed_by(openings))
        told = (f"{each.title} ({each.reason})" for each in chains)
        return tuple(each for each in told if not (owned and owned.search(each)))

    def remarks(self, openings: tuple[Opening, ...], mode: str) -> tuple[str, ...]:
        """Return what an operator should know besides. Raises HostError."""
        told = self._driven.remarks(openings, mode) if self._driven else ()
        return (*told, *((self._known.left,) if self._known.left else ()))

    def _choose(self, backend: str) -> Firewall:
        if backend == "auto":
            return next((each for each in self._all if self._is_active(each)), self._nftables)
        chosen = next(each for each in self._all if each.name == backend)
        if chosen.name in ("firewalld", "ufw") and not self._is_active(chosen):
            raise HostError(f"{backend} is not active, and firewall.backend names it: start it, or take another")
        return chosen

    def _is_active(self, firewall: Firewall) -> bool:
        """Say whether it is active; of the one that is driven, whether it is so again soon."""
        deadline = time.monotonic() + (RETURN_S if firewall is self._driven else 0.0)
        while not firewall.active():
            if time.monotonic() >= deadline:
                return False
            time.sleep(POLL_S)
        return True

    def _clear(self, chosen: Firewall | None) -> str:
        """Take away what all the others have of ours; return what is to be said where that failed."""
        failed = []
        for each in self._all:
            # ufw opens in our chain of iptables what it has no word for.
            if each is not chosen and not (chosen and chosen.name == "ufw" and each is self._iptables):
                try:
                    each.remove()
                except HostError as error:
                    failed.append(f"{each.name} still has what was opened there before: {error}")
        return "; ".join(failed)

    def _withdraw(self) -> None:
        if self._known.is_withdrawn:
            return
        left = self._clear(None)
        self._driven, self._known.name, self._known.left = None, "", left
        self._known.is_withdrawn = not left
