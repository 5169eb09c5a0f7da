"""Whether a boot is plainly the stamp's machine: asked with hardly more than the interpreter, and told by a mark."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nodeprep import run, unchanged
from nodeprep.host import platform
from nodeprep.host.local import LocalMachine
from tests.fakes import disk

UNITS = Path(__file__).parents[2] / "units"
UUID, MAC = "11111111-2222-4333-8444-555555555555", "52:54:00:00:00:01"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the disk of an adopted machine, which boots on the hardware of its stamp."""
    made = tmp_path / "disk"
    disk.make_template(made)
    disk.make_platform(tmp_path / "sys", UUID, MAC)
    monkeypatch.setenv("NODEPREP_SYSFS", str(tmp_path / "sys"))
    monkeypatch.setattr(unchanged, "STATE", f"{made}/var/lib/nodeprep")
    monkeypatch.setattr(unchanged, "MARK", str(tmp_path / "mark"))
    assert run.adopt(LocalMachine("adopt", str(made)))
    return made


def is_marked(root: Path) -> bool:
    """Whether the mark is left when the service runs."""
    assert unchanged.main() == 0
    return (root.parent / "mark").exists()


def test_the_machine_of_the_stamp_is_told(root: Path) -> None:
    before = {path: Path(path).read_bytes() for path in disk.files(root)}
    assert is_marked(root)
    assert {path: Path(path).read_bytes() for path in disk.files(root)} == before


@pytest.mark.parametrize("name", ["renewal.json", "baked-offline", "decided"])
def test_work_that_is_left_is_seen(root: Path, name: str) -> None:
    disk.put(root, f"/var/lib/nodeprep/{name}", b"")
    assert not is_marked(root)


def test_a_boot_without_a_stamp_is_looked_at(root: Path) -> None:
    (root / "var/lib/nodeprep/stamp.json").unlink()
    assert not is_marked(root)


@pytest.mark.parametrize("there", [(UUID.replace("1", "2"), MAC), (UUID, MAC.replace("1", "2"))])
def test_other_hardware_is_looked_at(root: Path, there: tuple[str, str]) -> None:
    disk.make_platform(root.parent / "sys", *there)
    assert not is_marked(root)


def test_a_link_whose_driver_is_not_there_yet_is_looked_for_again(root: Path) -> None:
    for attribute in (root.parent / "sys/class/net/eth0").iterdir():
        attribute.unlink()
    assert not is_marked(root)


def test_a_mark_that_cannot_be_left_leaves_it_to_the_early_run(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert unchanged.unchanged()
    monkeypatch.setattr(unchanged, "MARK", str(root / "not there" / "mark"))
    assert unchanged.main() == 0


ALONE = """
import sys
sys.path.append({repository!r})
from nodeprep import unchanged
unchanged.STATE, unchanged.MARK = {state!r}, {mark!r}
code = unchanged.main()
print("\\n".join(sys.modules))
sys.exit(code)
"""


def test_hardly_anything_is_imported_for_it(root: Path) -> None:
    script = ALONE.format(repository=str(UNITS.parent), state=unchanged.STATE, mark=unchanged.MARK)
    done = subprocess.run(  # as the unit starts it
        [sys.executable, "-I", "-S", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={"NODEPREP_SYSFS": platform.sysfs()},
    )
    assert done.returncode == 0, done.stderr
    assert (root.parent / "mark").exists()
    modules = set(done.stdout.split())
    ours = {module for module in modules if module.partition(".")[0] == "nodeprep"}
    assert ours == {"nodeprep", "nodeprep.unchanged", "nodeprep.host", "nodeprep.host.platform"}
    tops = {module.partition(".")[0] for module in modules}
    assert tops - {"nodeprep", "__main__"} <= set(sys.stdlib_module_names)
    heavy = {"json", "dataclasses", "subprocess", "typing", "re", "enum", "inspect", "pathlib", "shutil", "glob"}
    assert not tops & heavy


def test_the_units_are_those_of_what_is_tested_here() -> None:
    asking = (UNITS / "nodeprep-unchanged.service").read_text()
    assert "python3 -I -S -c" in asking
    assert "from nodeprep.unchanged import main" in asking
    assert f"ConditionPathExists=!{unchanged.MARK}" in (UNITS / "nodeprep-early.service").read_text()
    assert f"RuntimeDirectory={Path(unchanged.MARK).parent.relative_to('/run')}\n" in asking
