"""The machine as the program sees it: one Protocol to look with, one to touch with.

Observing gets a view, applying gets a touch, judging and planning get neither. Both are synchronous: the early run has
no event loop, and the main run applies in a worker thread so that frames are still answered meanwhile.
"""

from __future__ import annotations

from typing import Protocol

from nodeprep.model import Link, Opening, Profile
from nodeprep.steps import SetProfile


class MachineView(Protocol):
    """What may be asked of a machine. Nothing here changes it.

    Every method raises HostError where something exists and cannot be read; what does not exist is None or empty.
    """

    def read_bytes(self, path: str) -> bytes | None: ...

    def read_text(self, path: str) -> str | None: ...

    def exists(self, path: str) -> bool: ...

    def is_symlink(self, path: str) -> bool: ...

    def glob(self, pattern: str) -> tuple[str, ...]:
        """Return the paths that match, sorted."""
        ...

    def hostname(self) -> str:
        """Return the static hostname (hostname(5)), or the running one where there is no static one."""
        ...

    def links(self) -> tuple[Link, ...]: ...

    def profiles(self) -> tuple[Profile, ...]: ...


class MachineTouch(Protocol):
    """Everything that can be done to a machine. Every method raises HostError and then has changed nothing it can undo.

    Whatever is replaced goes to the attic first.
    """

    def write_file(self, path: str, content: bytes, mode: int) -> None: ...

    def replace_text(self, path: str, old: str, new: str) -> None: ...

    def link_file(self, path: str, target: str) -> None: ...

    def set_aside(self, pattern: str) -> None: ...

    def rename_folder(self, path: str, new_path: str) -> None: ...

    def replace_files(self, pattern: str, staging: str) -> None: ...

    def run_program(self, argv: tuple[str, ...], timeout_s: float) -> None: ...

    def set_hostname(self, hostname: str) -> None: ...

    def set_profile(self, change: SetProfile) -> None: ...

    def set_link_mac(self, link: str, mac: str) -> None: ...

    def apply_openings(self, openings: tuple[Opening, ...], mode: str) -> None: ...

    def reboot(self, reason: str) -> None: ...
