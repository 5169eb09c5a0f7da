"""Inotify: of files that are looked at, any change is told, and of their neighbours none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nodeprep.host.inotify import Inotify, places


@pytest.fixture
def watched() -> Iterator[Inotify]:
    news = Inotify()
    yield news
    news.close()


def test_places_are_the_folders_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "ssh").mkdir()
    (tmp_path / "lib/one").mkdir(parents=True)
    (tmp_path / "lib/file").touch()
    (tmp_path / "target").touch()
    (tmp_path / "lib/link").symlink_to(tmp_path / "target")
    asked = (
        *(f"{tmp_path}/{name}" for name in ("ssh/key", "ssh/*.pub", "none/deep/file", "lib/*/name", "lib/link")),
        *("/proc/cmdline", "/sys/class/dmi/id/product_uuid"),
    )
    assert places(asked) == {
        f"{tmp_path}/ssh": {"key", "*.pub"},
        f"{tmp_path}": {"none", "target"},
        f"{tmp_path}/lib": {"*", "link"},
        f"{tmp_path}/lib/one": {"name"},
    }


CHANGES: dict[str, Callable[[Path], object]] = {
    "written": lambda folder: (folder / "known").write_text("another"),
    "replaced": lambda folder: (folder / "other").rename(folder / "known"),
    "removed": lambda folder: (folder / "known").unlink(),
    "renamed": lambda folder: (folder / "known").rename(folder / "gone"),
    "made": lambda folder: (folder / "missing").touch(),
    "its folder made": lambda folder: (folder / "not-yet").mkdir(),
    "matched": lambda folder: (folder / "some.conf.d" / "10-new.conf").touch(),
    "its folder gone": lambda folder: (folder / "empty").rmdir(),
    "through a link": lambda folder: (folder / "elsewhere/target").write_text("another"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_of_what_is_followed_is_told_once(
    watched: Inotify, tmp_path: Path, change: Callable[[Path], object]
) -> None:
    for name in ("some.conf.d", "empty", "elsewhere"):
        (tmp_path / name).mkdir()
    for name in ("known", "other", "elsewhere/target"):
        (tmp_path / name).write_text("one")
    (tmp_path / "link").symlink_to("elsewhere/target")
    names = ("known", "missing", "not-yet/file", "some.conf.d/*.conf", "empty/file", "link")
    watched.follow(f"{tmp_path}/{name}" for name in names)
    (tmp_path / "neighbour").write_text("of no interest")
    (tmp_path / "elsewhere/neighbour").touch()
    (tmp_path / "some.conf.d/README").touch()
    (tmp_path / "known").read_text()
    assert not watched.read()
    change(tmp_path)
    assert watched.read()
    assert not watched.read()


def test_what_is_not_followed_any_more_is_not_told(watched: Inotify, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    watched.follow((f"{tmp_path}/one/file", f"{tmp_path}/two/file"))
    watched.follow((f"{tmp_path}/two/file",))
    (tmp_path / "one/file").touch()
    assert not watched.read()
    (tmp_path / "two/file").touch()
    assert watched.read()
    watched.follow((f"{tmp_path}/one/file",))
    (tmp_path / "one/file").unlink()
    assert watched.read()


def test_more_than_the_kernel_keeps_is_told_as_one(watched: Inotify, tmp_path: Path) -> None:
    most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    watched.follow((f"{tmp_path}/known",))
    for _ in range(most // 2 + 1):
        (tmp_path / "neighbour").touch()
        (tmp_path / "neighbour").unlink()
    assert watched.read(), "something may have been lost"
