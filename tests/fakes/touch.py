"""A machine that writes down what is done to it, and does nothing."""

from __future__ import annotations

from nodeprep.errors import HostError
from nodeprep.model import Opening
from nodeprep.steps import SetProfile


class Recorder:
    """MachineTouch, call by call in `calls`; a method named in `refuses` raises HostError instead.

    What the calls were about is in `subjects`.
    """

    def __init__(self, *refuses: str) -> None:
        self.refuses = frozenset(refuses)
        self.calls: list[tuple[str, tuple[object, ...]]] = []
        self.subjects: list[tuple[str, ...]] = []

    def _note(self, method: str, *arguments: object) -> None:
        if method in self.refuses:
            raise HostError(f"{method} is refused")
        self.calls.append((method, arguments))

    def about(self, subjects: tuple[str, ...]) -> None:
        self.subjects.append(subjects)

    def write_file(self, path: str, content: bytes, mode: int) -> None:
        self._note("write_file", path, content, mode)

    def replace_text(self, path: str, old: str, new: str) -> None:
        self._note("replace_text", path, old, new)

    def link_file(self, path: str, target: str) -> None:
        self._note("link_file", path, target)

    def set_aside(self, pattern: str) -> None:
        self._note("set_aside", pattern)

    def rename_folder(self, path: str, new_path: str) -> None:
        self._note("rename_folder", path, new_path)

    def replace_files(self, pattern: str, staging: str) -> None:
        self._note("replace_files", pattern, staging)

    def run_program(self, argv: tuple[str, ...], timeout_s: float) -> None:
        self._note("run_program", argv, timeout_s)

    def set_hostname(self, hostname: str) -> None:
        self._note("set_hostname", hostname)

    def set_profile(self, change: SetProfile) -> None:
        self._note("set_profile", change)

    def set_link_mac(self, link: str, mac: str) -> None:
        self._note("set_link_mac", link, mac)

    def apply_openings(self, openings: tuple[Opening, ...], mode: str, backend: str) -> None:
        self._note("apply_openings", openings, mode, backend)

    def keep_copy(self, pattern: str) -> None:
        self._note("keep_copy", pattern)

    def bring_back(self, run: str, kept: str, path: str) -> None:
        self._note("bring_back", run, kept, path)

    def remove(self, pattern: str) -> None:
        self._note("remove", pattern)

    def hold_units(self, units: tuple[str, ...]) -> None:
        self._note("hold_units", units)

    def release_units(self, units: tuple[str, ...]) -> None:
        self._note("release_units", units)

    def reboot(self, reason: str) -> None:
        self._note("reboot", reason)
