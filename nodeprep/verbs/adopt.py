"""`nodeprep adopt`: take this machine's identity as its own, as it is; the package does so when it is installed."""

from __future__ import annotations

import asyncio
import json

from nodeprep import run
from nodeprep.preview import view
from nodeprep.verbs import Typed


def main(typed: Typed) -> int:
    """Adopt, unless a stamp or an image's mark is there. Raises NodeprepError where the stamp cannot be written."""
    # With links and profiles: what they pin is this machine's own from now on, and a legacy to its clones.
    written = run.adopt(asyncio.run(view()))
    if typed.as_json:
        print(json.dumps({"schema": 1, "adopted": written}))
    else:
        print("adopted this machine's identity" if written else "nothing to adopt: a stamp or an image's mark is there")
    return 0
