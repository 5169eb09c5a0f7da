"""`nodeprep key`: which fleet keys this node accepts, and the change of the key on nodes that run, step by step.

    one key ──add──► two, the former spoken ──switch──► two, the new one spoken ──finish──► one

Each step is made on all nodes before the next, so that no node ever speaks what another does not accept. A key is named
by its ID, never shown; a step that was made already does nothing, so that it can be repeated on all nodes.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nodeprep import config, fleetkey, report
from nodeprep.errors import NodeprepError
from nodeprep.host import programs
from nodeprep.host.local import LocalMachine
from nodeprep.peers.message import key_id
from nodeprep.verbs import Typed, UsageError, terminal

KEY_BYTES = 32
DAEMON = "nodeprep.service"
TAKEN_UP_S = 30.0
"""The daemon asks its peers again before it says what came of it."""
FILE_MAX_BYTES = 4096
Keys = tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Request:
    """What was typed: a step of the rotation, "show-id", or "" for what is to be done next."""

    step: str = ""
    key: str = ""
    source: str = ""
    force: bool = False


def request_of(typed: Typed) -> Request:
    """Return the request. Raises UsageError where its parts do not go together."""
    steps = [name for name in ("--add", "--switch", "--finish") if name in typed]
    if typed.operands == ["show-id"]:
        if typed.options.keys() - {"--json"}:
            raise UsageError("key show-id takes no option but --json")
        return Request("show-id")
    if len(steps) > 1:
        raise UsageError(f"key rotate: one step at a time, not {' and '.join(steps)}")
    for option, of in (("--from", "--add"), ("--force", "--finish")):
        if option in typed and of not in steps:
            raise UsageError(f"key rotate: {option} goes with {of}")
    if not steps:
        return Request()
    key = "" if steps == ["--add"] else typed.value(steps[0]).lower()
    return Request(steps[0][2:], key, typed.value("--from"), force="--force" in typed)


def main(typed: Typed) -> int:
    """Do what was asked. Raises UsageError, NodeprepError."""
    request, machine = request_of(typed), LocalMachine("key")
    if os.geteuid() != 0:
        if request.step != "show-id":
            raise NodeprepError("the fleet key is root's: run it as root")
        ids = _told_by_the_daemon(machine)
    elif request.step == "show-id":
        ids = [key_id(key) for key in fleetkey.fleet_keys(machine)]
    else:
        ids = rotate(machine, fleetkey.fleet_keys(machine), request)
    if typed.as_json:
        keys = [{"id": one, "use": "accepted" if number else "spoken"} for number, one in enumerate(ids)]
        print(json.dumps({"schema": 1, "keys": keys}))
        return 0
    print(show(ids), end="")
    if request.step != "show-id":
        print(following(ids), end="")
    return 0


def rotate(machine: LocalMachine, keys: Keys, request: Request) -> list[str]:
    """Make one step, see that the daemon takes it up, and return the IDs of the keys. Raises NodeprepError."""
    if request.step and config.credential(machine, fleetkey.CREDENTIAL):
        raise NodeprepError(
            f"the credential {fleetkey.CREDENTIAL} beats {fleetkey.PATH}: change it where it is passed, to "
            "both keys first, the spoken one first"
        )
    new = after(keys, request, _offered(request) if request.step == "add" else ())
    if request.step == "finish" and not request.force:
        _require_nobody(machine, [key_id(key) for key in keys if key not in new])
    if new != keys:
        machine.write_own(fleetkey.PATH, "".join(f"{key.hex()}\n" for key in new).encode(), 0o600)
    ids = [key_id(key) for key in new]
    if request.step and not _taken_up(machine, ids):
        raise NodeprepError(f"written, but {DAEMON} has not taken it up; see `nodeprep status`")
    return ids


def after(keys: Keys, request: Request, offered: Keys) -> Keys:
    """Return the keys after a step. Raises NodeprepError where it cannot be made from here."""
    if not request.step:
        return keys
    if request.step == "add":
        return _added(keys, offered)
    named = next((key for key in keys if key_id(key) == request.key), None)
    if named is None:
        raise NodeprepError(f"{request.key} is none of the keys that are accepted here; see `nodeprep key show-id`")
    if request.step == "switch":
        return (named, *(key for key in keys if key != named))
    if keys[0] != named:
        raise NodeprepError(f"{request.key} is not spoken yet: `nodeprep key rotate --switch {request.key}`")
    return (named,)


def _added(keys: Keys, offered: Keys) -> Keys:
    new = tuple(key for key in offered if key not in keys)
    if keys and len(new) > 1:
        raise NodeprepError("neither of the keys offered is accepted here: this node is of another fleet; offer one")
    if len(keys) + len(new) > fleetkey.KEYS_MAX:
        raise NodeprepError(f"{fleetkey.KEYS_MAX} keys are accepted already: finish that change first")
    return (*keys, *new)


def show(ids: Sequence[str]) -> str:
    """Return a line for each key."""
    return "".join(f"{one}  {'accepted' if number else 'spoken'}\n" for number, one in enumerate(ids))


def following(ids: Sequence[str]) -> str:
    """Return what is to be done next, as a person reads it."""
    if not ids:
        return "No fleet key. Take the fleet's: `nodeprep key rotate --add --from FILE`; or make one: `--add`.\n"
    if len(ids) == 1:
        return "Nothing is to be done. A change of the key begins with `nodeprep key rotate --add` on one node.\n"
    spoken, accepted = ids
    return (
        f"If {accepted} is the new one: once every node accepts both, on every node\n"
        f"    nodeprep key rotate --switch {accepted}\n"
        f"If {spoken} is the new one: once every node speaks it, on every node\n"
        f"    nodeprep key rotate --finish {spoken}\n"
        "A node that does not accept both yet takes what it lacks from this one:\n"
        f"    ssh NODE nodeprep key rotate --add --from - < {fleetkey.PATH}\n"
    )


def _offered(request: Request) -> Keys:
    """Return the keys of the file that was named, or a new one. Raises NodeprepError."""
    if not request.source:
        return (secrets.token_bytes(KEY_BYTES),)
    origin = "standard input" if request.source == "-" else request.source
    try:
        with open(0 if request.source == "-" else request.source, "rb", closefd=request.source != "-") as file:
            text = file.read(FILE_MAX_BYTES).decode("utf-8", errors="replace")
    except OSError as error:
        raise NodeprepError(f"{origin}: {error.strerror}") from error
    if not (keys := fleetkey.parse(text, origin)):
        raise NodeprepError(f"{origin}: there is no key in it")
    return keys


def _require_nobody(machine: LocalMachine, dropped: Sequence[str]) -> None:
    """Raise NodeprepError if a peer still speaks a key that is to be dropped."""
    peers = _document(machine).get("peers", {}).get("list", [])
    if speakers := [peer for peer in peers if peer.get("key") in dropped]:
        last = speakers[0]["heard_on"][0]
        raise NodeprepError(
            f"{len(speakers)} peers were last heard under {dropped[0]}, the last {last['address']} on {last['link']}: "
            "make them speak the new one first, or drop it all the same with --force"
        )


def _taken_up(machine: LocalMachine, ids: Sequence[str]) -> bool:
    """Whether the daemon, if it defends a node that is ready, has taken these keys up, or does so within TAKEN_UP_S."""
    if not programs.active_units(frozenset({DAEMON})):
        return True
    programs.attempt(("systemctl", "--no-block", "reload", DAEMON), TAKEN_UP_S)  # else it looks by itself, a bit later
    if not machine.exists(report.READY_FILE):
        return True  # it judges anew, and may renew much before it says anything
    until_s = time.monotonic() + TAKEN_UP_S
    while _told_by_the_daemon(machine) != list(ids):
        if time.monotonic() >= until_s:
            return False
        terminal.say_again(f"waiting for {DAEMON} to take it up")
        time.sleep(0.2)
    terminal.say_again("")
    return True


def _told_by_the_daemon(machine: LocalMachine) -> list[str]:
    return list(_document(machine).get("peers", {}).get("keys", []))


def _document(machine: LocalMachine) -> dict[str, Any]:
    try:
        document = json.loads(machine.read_text(report.STATUS_FILE) or "{}")
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
