"""What sealing an image costs beside virt-sysprep(1), which boots a machine of its own to do as much."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.bench.conftest import Measured
from tests.bench.costs import Cost
from tests.lab.disk import Disk
from tests.lab.golden import Golden
from tests.lab.traces import administer

ROOT = Path(__file__).parents[2]
SIZE = "4G"
LIMIT_S = 900.0
WITHOUT_HARDWARE = {"LIBGUESTFS_BACKEND": "direct", "LIBGUESTFS_BACKEND_SETTINGS": "force_tcg"}
"""As in tests/vm: hardware support is not everywhere where tests run, nor sound where it seems to be."""


def took_s(*argv: str, **environment: str) -> float:
    """Run a program that must succeed, and return how long it took."""
    begin = time.monotonic()
    done = subprocess.run(
        argv,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
    return time.monotonic() - begin


@pytest.mark.skipif(not shutil.which("virt-sysprep"), reason="virt-sysprep is not here: `make bench` installs it")
def test_an_image_is_sealed_in_a_fraction_of_virt_syspreps_time(
    golden: Golden, measured: Measured, tmp_path: Path
) -> None:
    disk, image = Disk("sealed", golden.layers, tmp_path / "disk"), tmp_path / "disk.raw"
    try:
        disk.mount()
        administer("mke2fs", "-q", "-t", "ext4", "-d", str(disk.root), str(image), SIZE, timeout_s=300.0)
        theirs = took_s("virt-sysprep", "--quiet", "--add", str(image), **WITHOUT_HARDWARE)
        ours = took_s(sys.executable, "-m", "nodeprep.cli", "seal", "--root", str(disk.root))
    finally:
        disk.erase()
        image.unlink(missing_ok=True)
    measured(Cost.SEAL, ours / theirs)
