"""Roster: who is there, as `nodeprep peers` shows it.

Like the status it is typed often and by machines: it reads the status file and imports nothing heavier than `json`. A
peer is told by the first four bytes of its nonce, which are random and of this boot: no identity leaves a machine in
the clear. What a person knows it by is the MAC that its frames bear and the role that it says.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

AGAIN_S = 1.0
HEADER = ("PEER", "ROLE", "STATE", "LAST HEARD", "LINK", "ADDRESS", "")


def main(arguments: list[str], read: Callable[[], dict[str, Any] | None], absent: Callable[..., int]) -> int:
    """Show the peers, with --watch again and again until it is interrupted; return the exit code.

    read returns the status document or None, absent says why there is none and returns the exit code for that.
    """
    import time  # noqa: PLC0415

    as_json, watched = "--json" in arguments, "--watch" in arguments
    shown = ""
    while True:
        document = read()
        if document is None:
            code = absent(as_json=as_json)
            if not watched:
                return code
            text = ""
        else:
            text = as_text(document["peers"], as_json=as_json, now_s=time.time())
        if text != shown:
            clear = "\x1b[H\x1b[2J" if watched and not as_json and sys.stdout.isatty() else ""
            print(clear + text, end="", flush=True)
            shown = text
        if not watched:
            return 0
        try:
            time.sleep(AGAIN_S)
        except KeyboardInterrupt:
            return 0


def as_text(peers: dict[str, Any], *, as_json: bool, now_s: float) -> str:
    """Return the part of the status on peers as a line of JSON, or as a table."""
    if as_json:
        import json  # noqa: PLC0415

        return json.dumps({"schema": 1, **peers}) + "\n"
    spoken = next(iter(peers["keys"]), "")
    rows = [_row(peer, now_s, spoken) for peer in peers["list"]]
    widths = [max(len(row[column]) for row in (HEADER, *rows)) for column in range(len(HEADER))]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in ((HEADER, *rows) if rows else ())
    ]
    on = ", ".join(peers["links"]) or "no link"
    lines.append(f"{peers['count']} heard on {on}" + (f"; {len(rows)} shown" if len(rows) < peers["count"] else ""))
    lines += [f"not heard yet: {', '.join(peers['silent'])}"] if peers["silent"] else []
    lines += [_foreigner(one, now_s) for one in peers["foreign"]]
    if peers["rejected_by"]:
        by = ", ".join(f"{number} {reason}" for reason, number in sorted(peers["rejected_by"].items()))
        lines.append(f"{peers['rejected']} frames rejected: {by}")
    return "\n".join(lines) + "\n"


def _row(peer: dict[str, Any], now_s: float, spoken: str) -> tuple[str, ...]:
    where = peer["heard_on"][0]
    links = ",".join(each["link"] for each in peer["heard_on"])
    notes = [f"contests {', '.join(peer['contested'])}: {VERBS[peer['outcome']]}"] if peer["contested"] else []
    notes += [f"speaks key {peer['key']}"] if peer["key"] != spoken else []
    heard = ago(now_s - peer["last_heard"])
    return (peer["peer"], peer["role"] or "-", peer["state"], heard, links, where["address"], "; ".join(notes))


def _foreigner(one: dict[str, Any], now_s: float) -> str:
    twin = ", which is a MAC of this node" if one["own_mac"] else ""
    heard = ago(now_s - one["last_heard"])
    return f"another fleet key: {one['address']}{twin}, on {one['link']}, {one['frames']} frames, the last {heard}"


VERBS = {"keep": "it yields", "yield": "it keeps", "dispute": "neither yields", "": ""}


def ago(seconds: float) -> str:
    """Return how long ago, as briefly as a person wants it."""
    whole = max(0, round(seconds))
    if whole < 90:
        return f"{whole} s ago"
    return f"{whole // 60} min ago" if whole < 5400 else f"{whole // 3600} h ago"
