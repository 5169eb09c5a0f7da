"""`nodeprep peers`: who is there. For any user.

Like the status it is typed often and by machines: it reads the status file and imports nothing heavier than `json`. A
peer is told by the first four bytes of its nonce, which are random and of this boot: no identity leaves a machine in
the clear. What a person knows it by is the MAC that its frames bear and the role that it says.
"""

from __future__ import annotations

from nodeprep.verbs import Typed, document, terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HEADER = ("PEER", "ROLE", "STATE", "LAST HEARD", "LINK", "ADDRESS", "")


def main(typed: Typed) -> int:
    """Show the peers, with --watch again and again until it is interrupted; return the exit code."""
    if "--watch" in typed:
        return terminal.follow(lambda: _shown(document.read(), typed), as_json=typed.as_json)
    told = document.read()
    if told is None:
        return document.not_running(as_json=typed.as_json)
    text, code = _shown(told, typed)
    print(text, end="")
    return code


def _shown(told: dict[str, Any] | None, typed: Typed) -> tuple[str, int]:
    import time  # noqa: PLC0415

    if told is None:
        return "", document.EXIT_NOT_RUNNING
    return as_text(told["peers"], as_json=typed.as_json, now_s=time.time()), 0


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
    notes = [f"contests {', '.join(peer['contested'])}: {OUTCOMES[peer['outcome']]}"] if peer["contested"] else []
    notes += [f"speaks key {peer['key']}"] if peer["key"] != spoken else []
    heard = ago(now_s - peer["last_heard"])
    return (peer["peer"], peer["role"] or "-", peer["state"], heard, links, where["address"], "; ".join(notes))


def _foreigner(one: dict[str, Any], now_s: float) -> str:
    twin = ", which is a MAC of this node" if one["own_mac"] else ""
    heard = ago(now_s - one["last_heard"])
    return f"another fleet key: {one['address']}{twin}, on {one['link']}, {one['frames']} frames, the last {heard}"


OUTCOMES = {"keep": "it yields", "yield": "it keeps", "dispute": "neither yields", "": ""}


def ago(seconds: float) -> str:
    """Return how long ago, as briefly as a person wants it."""
    whole = max(0, round(seconds))
    if whole < 90:
        return f"{whole} s ago"
    return f"{whole // 60} min ago" if whole < 5400 else f"{whole // 3600} h ago"
