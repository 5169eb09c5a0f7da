"""`nodeprep doctor`: is this node reachable as its roles need it. Exit code: 0 good, 1 bad, 2 doubtful."""

from __future__ import annotations

import asyncio
import json

from nodeprep import checkup
from nodeprep.checks import Outcome
from nodeprep.doctor import Request, examine
from nodeprep.verbs import Typed, document, terminal

EXIT = {Outcome.GOOD: 0, Outcome.BAD: 1, Outcome.DOUBTFUL: 2}


def main(typed: Typed) -> int:
    """Look, and show what was found. Raises NodeprepError."""
    request = Request("--all" in typed, tuple(peer.lower() for peer in typed.values("--peer")))
    report = asyncio.run(examine(request, document.read(), terminal.progress))
    if typed.as_json:
        print(json.dumps(checkup.document(report), indent=2))
    else:
        outcome, colon, rest = checkup.render(report).partition(":")
        print(f"{terminal.paint(outcome, outcome)}{colon}{rest}")
    return EXIT[report.outcome]
