"""What it takes until all of many perfect twins are ready: all but one of them have all to renew.

Only where the page is written, since a hundred machines on few processors take minutes.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.conftest import Measured
from tests.bench.costs import Cost
from tests.lab.fleet import templates, trial
from tests.lab.tree import Release

FEW, MANY = 2, 100


@pytest.mark.fleet
@pytest.mark.usefixtures("swept")
@pytest.mark.parametrize("release", [Release.BOOKWORM], ids=["bookworm"], indirect=True)
def test_a_hundred_twins_need_little_more_each_than_two(
    release: Release, deb: Path, store: Path, tmp_path: Path, measured: Measured
) -> None:
    golden, bare = templates(release, deb, store)
    few, many = (trial(golden, bare, twins, tmp_path / str(twins)) for twins in (FEW, MANY))
    print(few, many, sep="\n")
    measured(Cost.FLEET, max(many.ready_s) / many.plain_s)
    measured(Cost.FRAMES, sum(many.frames) / MANY / (sum(few.frames) / FEW))
