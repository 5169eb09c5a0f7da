"""Screen: the status as a person reads it: one line first, then identity, peers and openings.

Like the command line it is fast to load: it imports nothing that costs.
"""

from __future__ import annotations

from nodeprep.verbs.terminal import OF_STATE, paint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

OF_VERDICT = {"conflict": "bad", "missing": "bad", "inherited": "doubtful", "unknown": "doubtful"}


def render(document: dict[str, Any], *, long: bool) -> str:
    """Return the text; long: with what else is known of each artefact, and with what is absent."""
    node, peers, openings = document["node"], document["peers"], document["openings"]
    lines = [f"{paint(document['state'], OF_STATE.get(document['state'], ''))}: {document['summary']}"]
    for kind in ("problems", "warnings"):
        for row in document[kind]:
            code = paint(f"! {row['code']}", "bad") if kind == "problems" else paint(f"- {row['code']}", "doubtful")
            lines += [f"  {code}: {row['detail']}", f"    {row['remedy']}"]
    if document["identity"]:
        lines += ["", f"Identity ({node['origin']}: {node['reason']})"]
    changed = {change["artefact"]: change["old"] for change in document["changes"]}
    for row in document["identity"]:
        if row["verdict"] == "absent" and not long:
            continue
        was = f"  (was {brief(changed[row['artefact']], long=long)})" if row["artefact"] in changed else ""
        value = brief(row["value"], long=long)
        verdict = paint(f"{row['verdict']:<10}", OF_VERDICT.get(row["verdict"], ""))
        lines.append(f"  {row['title']:<30} {verdict} {value}{was}")
        if long:
            lines += [f"  {'':<30} {row[key]}" for key in ("detail", "remedy") if row.get(key)]
    lines += ["", f"Peers  {peers['count']} heard on {', '.join(peers['links']) or 'no link'}"]
    lines += [f"  {peer['peer']} contests {', '.join(peer['kinds'])}" for peer in peers["contested"]]
    lines += [f"  {one['address']} on {one['link']} speaks another fleet key" for one in peers.get("foreign", ())]
    if long or peers["rejected"]:
        lines.append(f"  {peers['rejected']} frames rejected")
    registry = document.get("registry", {"state": "off"})  # a daemon of an earlier release has none
    if registry["state"] != "off":
        lines += ["", f"Registry  {registry['state']}, {registry['claims']} claims in {registry['where']}"]
    lines += ["", f"Openings  {', '.join(node['roles'])}; mode {openings['mode']}, {openings['backend']}"]
    lines += [
        f"  {row['opening']:<18} {row['purpose']}" + (f"  (from {row['from']})" if long or row["from"] != "any" else "")
        for row in openings["list"]
    ]
    return "\n".join(lines) + "\n"


def brief(value: str, *, long: bool) -> str:
    """Return a value, or its beginning where it would take the line and nobody asked for all of it."""
    return value if long or len(value) <= 48 else value[:45] + "..."
