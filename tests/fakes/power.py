"""Power that fails: a run over files below a folder that is cut before any one of the things it does to them."""

from __future__ import annotations

import builtins
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.fakes.disk import files

T = TypeVar("T")
WRITING = os.O_WRONLY | os.O_RDWR


class PowerCut(BaseException):
    """No error of any kind: nobody may catch it."""


class Power:
    """Counts what is done to files below `root`, and fails before number `cut` of it.

    With `forgets` the disk then forgets what was written and not synced: such a file is empty, as ext4 and XFS leave it
    (delayed allocation). Renames are kept in order, as journalling file systems do.
    """

    def __init__(self, root: Path, *, cut: int | None = None, forgets: bool = False) -> None:
        self.root = str(root)
        self.cut = cut
        self.forgets = forgets
        self.done: list[str] = []
        self._dirty: set[int] = set()

    def supply(self, boot: Callable[[], T]) -> T | None:
        """Run a boot until it ends, or until the power is cut: then None."""
        with pytest.MonkeyPatch.context() as patch:
            for name in ("rename", "unlink", "rmdir", "symlink", "mkdir", "chmod", "fchmod", "truncate"):
                patch.setattr(os, name, self._counted(name, getattr(os, name)))
            patch.setattr(os, "open", self._opened(os.open))
            patch.setattr(os, "fsync", self._synced(os.fsync))
            patch.setattr(builtins, "open", self._opened_file(builtins.open))
            patch.setattr(shutil, "copy2", self._copied(shutil.copy2))
            try:
                return boot()
            except PowerCut:
                pass
        if self.forgets:
            self._forget()
        return None

    def _tick(self, what: str) -> None:
        if self.cut is not None and len(self.done) == self.cut:
            raise PowerCut(what)
        self.done.append(what)

    def _told(self, name: str, *paths: object) -> str:
        return f"{name} {' '.join(str(path).removeprefix(self.root) for path in paths)}"

    def _counted(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            self._tick(self._told(name, *arguments))
            return real(*arguments, **named)

        return counted

    def _opened(self, real: Callable[..., int]) -> Callable[..., int]:
        def opened(path: Any, flags: int, *arguments: Any, **named: Any) -> int:
            if not flags & WRITING:
                return real(path, flags, *arguments, **named)
            self._tick(self._told("create", path))
            descriptor = real(path, flags, *arguments, **named)
            self._dirty.add(os.fstat(descriptor).st_ino)
            return descriptor

        return opened

    def _opened_file(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def opened(path: Any, mode: str = "r", *arguments: Any, **named: Any) -> Any:
            if set(mode) & set("wax+"):
                self._tick(self._told("write", path))
            return real(path, mode, *arguments, **named)

        return opened

    def _synced(self, real: Callable[[int], None]) -> Callable[[int], None]:
        def synced(descriptor: int) -> None:
            self._tick("fsync")
            real(descriptor)
            self._dirty.discard(os.fstat(descriptor).st_ino)

        return synced

    def _copied(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def copied(source: str, target: str, *, follow_symlinks: bool = True) -> Any:
            try:
                self._tick(self._told("copy", source, target))
            except PowerCut:
                if not os.path.islink(source):
                    with open(source, "rb") as whole, open(target, "ab") as half:
                        half.write(whole.read()[: os.path.getsize(source) // 2])
                raise
            result = real(source, target, follow_symlinks=follow_symlinks)
            self._dirty.add(os.lstat(target).st_ino)
            return result

        return copied

    def _forget(self) -> None:
        for path in files(Path(self.root)):
            if os.stat(path).st_ino in self._dirty:
                os.truncate(path, 0)
