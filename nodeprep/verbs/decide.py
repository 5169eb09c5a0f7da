"""`nodeprep decide`: an operator says what this machine is, where its hardware and the wire cannot tell.

The word lies in a file until a run has followed it: the daemon at once where the node is not ready, since nothing of a
ready node is renewed before its next boot.
"""

from __future__ import annotations

import json

from nodeprep import report, run
from nodeprep.artefacts import catalogue
from nodeprep.errors import NodeprepError
from nodeprep.host import programs
from nodeprep.host.local import LocalMachine
from nodeprep.observe import joined
from nodeprep.verbs import Typed, document

RESTART = ("systemctl", "--no-block", "restart", "nodeprep.service")
KEPT = "it keeps all that it has, and its hardware of now is its own; see `nodeprep status --wait`"
RENEWED_NOW = (
    "what it has of the template is renewed now; its memberships and enrolments are set aside in "
    "/var/lib/nodeprep/attic; see `nodeprep status --wait`"
)
RENEWED_LATER = (
    "it is ready, so what it has of the template is renewed at its next boot: `systemctl reboot`; "
    "`nodeprep decide keep` takes that back"
)


def main(typed: Typed) -> int:
    """Write an operator's word, and let the daemon follow it. Raises NodeprepError where it is refused."""
    if document.disabled():
        return document.not_running(as_json=typed.as_json)
    word = typed.operands[0]
    follows = decide(LocalMachine("decide"), word)
    print(json.dumps({"schema": 1, "word": word, "follows": follows}) if typed.as_json else follows)
    return 0


def decide(machine: LocalMachine, word: str) -> str:
    """Write the word and return what will follow. Raises NodeprepError where it is refused or cannot be written."""
    is_ready = machine.exists(report.READY_FILE)
    if word == "renew" and is_ready and (members := joined(catalogue(), machine)):
        raise NodeprepError(
            f"this node is ready and a member of a cluster ({', '.join(members)}): drain it and let it leave first"
        )
    if word == "renew" and is_ready:
        machine.write_own(run.DECIDED, f"{word} {run.ALONE}\n".encode(), 0o600)
        return f"this machine is a copy: {RENEWED_LATER}"
    machine.write_own(run.DECIDED, f"{word}\n".encode(), 0o600)
    programs.run(RESTART, 30)
    return f"this is the machine itself: {KEPT}" if word == "keep" else f"this machine is a copy: {RENEWED_NOW}"
