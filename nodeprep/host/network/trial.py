"""A trial: files of a network manager changed, the link seen to carry, or everything put back as it was.

What the files were is written down before the first of them changes. A trial that the power or a signal cut off is
undone by `recover` in the next run: what was never seen to carry does not stay.
"""

from __future__ import annotations

import base64
import contextlib
import glob
import json
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from nodeprep.errors import HostError
from nodeprep.host import links
from nodeprep.host.files import Files
from nodeprep.host.network import carrying
from nodeprep.model import Link, Profile
from nodeprep.steps import SetProfile

UNDER_WAY = "/var/lib/nodeprep/trial.json"
NEW_FILE_MODE = 0o644

Edits = Mapping[str, str | None]
"""Path → the text that it is to have, None where there is to be no file."""


@dataclass(frozen=True, slots=True)
class Manager:
    """How a network manager takes a link up and down by what its files say. Both raise HostError."""

    down: Callable[[str], None]
    up: Callable[[str], None]


def attempt(change: SetProfile, profile: Profile, edits: Edits, files: Files, manager: Manager) -> None:
    """Change files and activate them on a link; keep them only if the link then carries.

    To carry is: carrier, the MAC and the addresses wanted and none found duplicate, a lease where there was one, and a
    gateway that answers if one did before. Raises HostError; the files and the link are then what they were.
    """
    before = carrying.seen(change.link)
    mac = before.permanent_mac if change.mac == "" else change.mac
    if change.mac == "" and mac is None:
        raise HostError(f"{change.link}: the MAC of its hardware is not known")
    gateway = carrying.answering_gateway(change.link)
    lease = carrying.leased(before) and profile.ipv4_method == "auto" and not change.ipv4_addresses
    _write_down(change, before.mac, edits, files)
    try:
        manager.down(change.link)
        for path, text in edits.items():
            if text is None:
                files.set_aside(glob.escape(path))
            else:
                files.write_file(path, text.encode(), _mode(files, path))
        _activate(change.link, mac or before.mac, manager)
        carrying.prove(change, _wanted(change, profile, before), lease=lease, gateway=gateway)
    except BaseException as error:
        undone = _undo(change.link, before, files, manager)
        if isinstance(error, HostError):
            raise HostError(f"{profile.title} on {change.link}: {error}; {undone}") from error
        raise
    files.remove_own(UNDER_WAY)


def recover(files: Files, manager_of: Callable[[str], Manager]) -> str:
    """Undo a trial that was cut off; say what was done, "" if there was none. manager_of: profile key → its manager.

    Raises HostError.
    """
    text = files.read_text(UNDER_WAY)
    if text is None:
        return ""
    try:
        kept = json.loads(text)
        profile, link, mac = str(kept["profile"]), str(kept["link"]), str(kept["mac"])
    except (ValueError, KeyError, TypeError):
        files.remove_own(UNDER_WAY)  # torn while it was written: before anything was changed
        return ""
    manager = manager_of(profile)
    with contextlib.suppress(HostError):
        manager.down(link)
    _put_back(files)
    _activate(link, mac, manager)
    return f"a change of {profile} on {link} was cut off and undone"


def _activate(link: str, mac: str, manager: Manager) -> None:
    """Take a link up from nothing, so that what it has afterwards is its manager's work and not what was left."""
    with contextlib.suppress(HostError):  # a bridge or a bond is gone while it is down
        links.restart(link, mac)
    manager.up(link)


def _wanted(change: SetProfile, profile: Profile, before: Link) -> frozenset[str]:
    """Return the addresses the link must have afterwards: those given, and the static ones it had and is to keep."""
    kept = profile.ipv4_addresses if change.ipv4_addresses is None else change.ipv4_addresses
    kept += profile.ipv6_addresses if change.ipv6_addresses is None else change.ipv6_addresses
    given = frozenset((change.ipv4_addresses or ()) + (change.ipv6_addresses or ()))
    return given | (frozenset(kept) & carrying.held(before))


def _undo(link: str, before: Link, files: Files, manager: Manager) -> str:
    """Put the former files back and activate them; say how that went. Never fails."""
    try:
        with contextlib.suppress(HostError):
            manager.down(link)
        _put_back(files)
        _activate(link, before.mac, manager)
        return "rolled back"
    except HostError as error:
        return f"the rollback failed too: {error}"


def _write_down(change: SetProfile, mac: str, edits: Edits, files: Files) -> None:
    former: dict[str, object] = {}
    for path in edits:
        content = files.read_bytes(path)
        former[path] = None
        if files.is_symlink(path):
            former[path] = {"target": os.readlink(files.real(path))}
        elif content is not None:
            owner = os.stat(files.real(path))
            former[path] = {
                "content": base64.b64encode(content).decode(),
                "mode": stat.S_IMODE(owner.st_mode),
                "owner": (owner.st_uid, owner.st_gid),
            }
    note = {"profile": change.profile, "link": change.link, "mac": mac, "former": former}
    files.write_own(UNDER_WAY, json.dumps(note).encode(), 0o600)


def _put_back(files: Files) -> None:
    for path, was in json.loads(files.read_text(UNDER_WAY) or '{"former": {}}')["former"].items():
        if was is None:
            files.remove_own(path)
        elif "target" in was:
            files.link_file(path, was["target"])
        else:
            files.write_own(path, base64.b64decode(was["content"]), was["mode"], tuple(was["owner"]))
    files.remove_own(UNDER_WAY)


def _mode(files: Files, path: str) -> int:
    try:
        return stat.S_IMODE(os.stat(files.real(path)).st_mode)
    except OSError:
        return NEW_FILE_MODE
