"""`nodeprep plan`: what would be done at the next boot, and why. Does nothing."""

from __future__ import annotations

import asyncio
import json

from nodeprep.preview import foresee, show, view
from nodeprep.run import Run
from nodeprep.steps import Plan
from nodeprep.verbs import Typed


def main(typed: Typed) -> int:
    """Print the plan. Raises NodeprepError where something keeps it from being made."""
    this, steps = foresee(asyncio.run(view()))
    if typed.as_json:
        document = {
            "schema": 1,
            "origin": this.decision.origin.value,
            "reason": this.decision.reason,
            "joined": this.decision.joined,
            "steps": [
                {
                    "subjects": list(s.subjects),
                    "reason": s.reason,
                    "actions": [show(action, this) for action in s.actions],
                }
                for s in steps.steps
            ],
        }
        print(json.dumps(document, indent=2))
        return 0
    print(as_text(this, steps), end="")
    return 0


def as_text(this: Run, steps: Plan) -> str:
    """Return a plan as a person reads it."""
    lines = [f"{this.decision.origin.value}: {this.decision.reason}", *(() if steps else ("nothing would be done",))]
    for step in steps.steps:
        lines += ["", f"{', '.join(step.subjects)}  ({step.reason})"]
        lines += [f"  {show(action, this)}" for action in step.actions]
    return "\n".join((*lines, ""))
