"""Holdings: the claims of this machine, and on which link each is ours alone."""

from __future__ import annotations

from dataclasses import replace

from nodeprep.peers.message import Claim, Message


class Holdings:
    """What one machine presents; a claim without a link is presented on all of them."""

    def __init__(self, claims: frozenset[Claim] = frozenset()) -> None:
        self.claims = claims
        self.links = frozenset(each.link for each in claims) - {""}
        self._presented: dict[tuple[str, int], dict[Claim, Claim]] = {}

    def common(self, message: Message, link: str, key: int = 0) -> frozenset[Claim]:
        """Return those of our claims that a message presents as well. key: the number of that which it was said under.

        link: the one it was heard on.
        """
        if not self.links and not key:
            return message.claims & self.claims
        place = (link if link in self.links else "", key)
        if place not in self._presented:
            self._presented[place] = {
                replace(each.under(key), link=""): each for each in on_link(self.claims, place[0])
            }
        here = self._presented[place]
        return frozenset(here[each] for each in message.claims if each in here)


def on_link(claims: frozenset[Claim], link: str) -> frozenset[Claim]:
    """Return those of the claims that are presented on a link."""
    return frozenset(each for each in claims if each.link in ("", link))
