"""The bulletin: written when it says something else, and at most once for all that is heard within some seconds."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from nodeprep import bulletin as module
from nodeprep import metrics, report
from nodeprep.bulletin import Bulletin
from nodeprep.errors import HostError
from tests.unit.test_metrics import STATUS


class Disk:
    """Takes what is written, unless it is full; and what is to be said."""

    def __init__(self) -> None:
        self.document: dict[str, Any] = dict(STATUS)
        self.written: list[tuple[str, bytes, int]] = []
        self.is_full = False
        files: Any = self
        self.bulletin = Bulletin(files, lambda: self.document)

    def write_own(self, path: str, content: bytes, mode: int) -> None:
        if self.is_full:
            raise HostError(f"{path}: no space left on device")
        self.written.append((path, content, mode))


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    monkeypatch.setattr(module, "SOON_S", 0.05)
    return Disk()


def test_everybody_may_read_it_as_json_and_as_metrics(disk: Disk) -> None:
    disk.bulletin.write()
    (status, text, mode), (prometheus, samples, other) = disk.written
    assert (status, prometheus, mode, other) == (report.STATUS_FILE, metrics.FILE, 0o644, 0o644)
    assert json.loads(text) == STATUS
    assert samples.decode() == metrics.metrics(STATUS)


def test_what_says_nothing_new_is_not_written(disk: Disk) -> None:
    disk.bulletin.write()
    disk.bulletin.write()
    assert len(disk.written) == 2
    disk.document = {**STATUS, "summary": "another"}
    disk.bulletin.write()
    assert [path for path, _, _ in disk.written[2:]] == [report.STATUS_FILE], "the numbers are the same"


def test_whatever_is_heard_meanwhile_is_written_once(disk: Disk) -> None:
    async def hear() -> None:
        disk.bulletin.write_soon()
        disk.bulletin.write_soon()
        assert disk.written == []
        await asyncio.sleep(0.15)
        assert len(disk.written) == 2
        disk.document = {**STATUS, "summary": "another"}
        disk.bulletin.write_soon()
        disk.bulletin.write()
        assert len(disk.written) == 3
        disk.document = dict(STATUS)
        await asyncio.sleep(0.15)
        assert len(disk.written) == 3, "it was written before it was due"

    asyncio.run(hear())


def test_a_full_disk_is_told_by_who_looks_and_what_is_due_is_written_with_the_next(disk: Disk) -> None:
    async def hear() -> None:
        disk.is_full = True
        disk.bulletin.write_soon()
        await asyncio.sleep(0.15)
        with pytest.raises(HostError, match="no space left"):
            disk.bulletin.write()
        disk.is_full = False
        disk.bulletin.write_soon()
        await asyncio.sleep(0.15)
        assert len(disk.written) == 2

    asyncio.run(hear())
