"""`nodeprep history`: what renewals replaced on this machine, and where it lies."""

from __future__ import annotations

import json
import re

from nodeprep.errors import HostError
from nodeprep.history import subjects
from nodeprep.host import attic
from nodeprep.host.attic import Entry
from nodeprep.stamp import fingerprint
from nodeprep.verbs import Typed


def main(typed: Typed) -> int:
    """Print the runs of the attic, the newest first. Raises HostError where it cannot be read."""
    runs = found()
    if typed.as_json:
        print(json.dumps({"schema": 1, "runs": runs}, indent=2))
    else:
        print("\n".join(map(_render, runs)) or "nothing was replaced on this machine", flush=True)
    return 0


def found() -> list[dict[str, object]]:
    """Return the runs of the attic, the newest first. Raises HostError."""
    try:
        return [_document(run) for run in reversed(attic.runs())]
    except OSError as error:
        raise HostError(f"{error.filename or attic.ATTIC}: {error.strerror}") from error


def _document(run: str) -> dict[str, object]:
    entries = attic.manifest(run)
    begun = next((entry for entry in entries if entry.what == "begun"), Entry("begun"))
    return {
        "run": run,
        "time": begun.old,
        "reason": begun.new,
        "size_bytes": attic.size(f"{attic.ATTIC}/{run}")[0],
        "artefacts": sorted({subject for entry in entries for subject in subjects(entry)}),
        "entries": [
            {
                "what": entry.what,
                "artefacts": list(subjects(entry)),
                "path": entry.path,
                "old": entry.old,
                "new": entry.new,
                "mode": f"{entry.mode:04o}" if entry.owner else "",
                "owner": list(entry.owner),
                "kept": attic.is_kept(run, entry),
            }
            for entry in entries
            if entry.what != "begun"
        ],
    }


def _render(run: dict[str, object]) -> str:
    size = run["size_bytes"]
    assert isinstance(size, int)
    lines = [f"{run['run']}  {run['time']}  {size / 1024:.0f} KiB", f"  {run['reason'] or 'no reason was noted'}"]
    entries = run["entries"]
    assert isinstance(entries, list)
    for entry in entries:
        change = f"{entry['old'] or '-'} -> {entry['new'] or '-'}" if entry["what"] == "changed" else entry["path"]
        if entry["what"] == "renamed":
            change = f"{entry['path']} -> {entry['new']}"
        lines.append(f"  {', '.join(entry['artefacts']):<24} {entry['what']:<12} {veil(change)}")
    return "\n".join(lines) + "\n"


def veil(text: str) -> str:
    """Return a text with short fingerprints for machine IDs (machine-id(5)), as the status shows them."""
    return re.sub("[0-9a-f]{32}", lambda found: f"[{fingerprint('machine-id', found[0])[:8]}]", text)
