"""Holdings: the claims of this machine, and on which link each is ours alone."""

from __future__ import annotations

from dataclasses import replace

from nodeprep.peers.message import Claim, Message


class Holdings:
    """What one machine presents; a claim without a link is presented on all of them."""

    def __init__(self, claims: frozenset[Claim] = frozenset()) -> None:
        self.claims = claims
        self.links = frozenset(each.link for each in claims) - {""}
        self._by_link: dict[str, dict[Claim, Claim]] = {}

    def common(self, message: Message, link: str) -> frozenset[Claim]:
        """Return those of our claims that a message heard on a link presents as well."""
        if not self.links:
            return message.claims & self.claims
        if link not in self.links:
            link = ""
        if link not in self._by_link:
            self._by_link[link] = {replace(each, link=""): each for each in on_link(self.claims, link)}
        here = self._by_link[link]
        return frozenset(here[each] for each in message.claims if each in here)


def on_link(claims: frozenset[Claim], link: str) -> frozenset[Claim]:
    """Return those of the claims that are presented on a link."""
    return frozenset(each for each in claims if each.link in ("", link))
