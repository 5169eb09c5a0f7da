"""The early run: hardly more than the interpreter on an unchanged boot, and a renewal on any other."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nodeprep import early, renewal, run
from nodeprep.errors import HostError
from nodeprep.host import local, platform, programs
from tests.fakes import disk

REPOSITORY = Path(__file__).parents[2]
HOME = ("11111111-2222-4333-8444-555555555555", "52:54:00:00:00:01")
ELSEWHERE = ("99999999-8888-4777-a666-555555555555", "52:54:00:00:00:02")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the disk of a template that was adopted at home."""
    made, sysfs = tmp_path / "disk", tmp_path / "sys"
    disk.make_template(made)
    for role in (REPOSITORY / "config" / "roles.d").iterdir():
        disk.put(made, f"/usr/share/nodeprep/roles.d/{role.name}", role.read_bytes())
    disk.make_platform(sysfs, *HOME)
    monkeypatch.setenv("NODEPREP_SYSFS", str(sysfs))
    monkeypatch.setattr(early, "STATE", f"{made}/var/lib/nodeprep")
    rooted = local.LocalMachine
    assert run.adopt(rooted("adopt", str(made)))
    monkeypatch.setattr(local, "LocalMachine", lambda name: rooted(name, str(made)))
    monkeypatch.setattr(programs, "run", disk.Programs().run)
    monkeypatch.setattr(programs, "active_units", lambda units: units & {"systemd-journald.service"})
    return made


def move(root: Path, *, to: tuple[str, str] = ELSEWHERE) -> None:
    disk.make_platform(root.parent / "sys", *to)


def everything(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file() and not path.is_symlink()}


def machine_id(root: Path) -> str:
    return (root / "etc/machine-id").read_text().strip()


def test_an_unchanged_boot_writes_nothing(root: Path) -> None:
    before = everything(root)
    assert early.unchanged()
    assert early.main() == 0
    assert everything(root) == before


ALONE = """
import sys
sys.path.append({repository!r})
from nodeprep import early
early.STATE = {state!r}
early.renew = lambda: sys.exit("this boot is not unchanged")
code = early.main()
print("\\n".join(sys.modules))
sys.exit(code)
"""


def test_an_unchanged_boot_imports_hardly_anything(root: Path) -> None:
    script = ALONE.format(repository=str(REPOSITORY), state=early.STATE)
    done = subprocess.run(  # as the unit starts it
        [sys.executable, "-I", "-S", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={"NODEPREP_SYSFS": platform.sysfs()},
    )
    assert done.returncode == 0, done.stderr
    modules = set(done.stdout.split())
    ours = {module for module in modules if module.partition(".")[0] == "nodeprep"}
    assert ours == {"nodeprep", "nodeprep.early", "nodeprep.host", "nodeprep.host.platform"}
    tops = {module.partition(".")[0] for module in modules}
    assert tops - {"nodeprep", "__main__"} <= set(sys.stdlib_module_names)
    heavy = {"json", "dataclasses", "subprocess", "typing", "re", "enum", "inspect", "pathlib", "shutil", "glob"}
    assert not tops & heavy


def test_the_unit_starts_what_is_tested_here() -> None:
    unit = (REPOSITORY / "units" / "nodeprep-early.service").read_text()
    assert "python3 -I -S -c" in unit
    assert "from nodeprep.early import main" in unit


@pytest.mark.parametrize("name", ["renewal.json", "baked-offline"])
def test_work_that_is_left_is_seen(root: Path, name: str) -> None:
    disk.put(root, f"/var/lib/nodeprep/{name}", b"")
    assert not early.unchanged()


def test_a_boot_without_a_stamp_is_looked_at(root: Path) -> None:
    (root / "var/lib/nodeprep/stamp.json").unlink()
    assert not early.unchanged()


def test_a_machine_without_a_stamp_keeps_what_it_has(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "var/lib/nodeprep/stamp.json").unlink()
    before = everything(root)
    assert early.main() == 0
    assert everything(root) == before
    assert "<6>nodeprep: adopted" in capsys.readouterr().err


def test_a_copy_is_renewed(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    move(root)
    assert early.main() == 0
    assert machine_id(root) != disk.MACHINE_ID
    told = capsys.readouterr().err
    assert "<6>nodeprep: clone: " in told
    assert "<5>nodeprep: renewed machine-id" in told
    assert disk.MACHINE_ID not in told
    assert machine_id(root) not in told
    report = json.loads((root / "run/nodeprep/early.json").read_text())
    assert {change[0] for change in report["changes"]} >= {"machine-id", "ssh-host-keys", "random-seed"}
    assert {outcome[1] for outcome in report["outcomes"]} == {"done"}
    assert not (root / "var/lib/nodeprep/staging").exists()


def test_what_was_renewed_early_stays_at_the_next_boot(root: Path) -> None:
    move(root)
    early.main()
    first, keys = machine_id(root), disk.pairs(root)
    early.main()  # the daemon never came to write the stamp
    assert machine_id(root) == first
    assert disk.pairs(root) == keys


@pytest.mark.parametrize("there", [(HOME[0], ELSEWHERE[1]), (ELSEWHERE[0], HOME[1])], ids=["new-nic", "moved"])
def test_no_copy_no_renewal(root: Path, there: tuple[str, str]) -> None:
    move(root, to=there)
    before = everything(root)
    assert early.main() == 0
    assert everything(root) == before


def test_a_joined_copy_is_left_as_it_is(root: Path) -> None:
    disk.put(root, "/etc/kubernetes/kubelet.conf", b"")
    move(root)
    before = everything(root)
    assert early.main() == 0
    assert everything(root) == before


def test_a_configuration_that_cannot_be_used_changes_nothing_and_boots(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    disk.put(root, "/etc/nodeprep/nodeprep.toml", b"[nod")
    move(root)
    before = everything(root)
    assert early.main() == 0
    assert everything(root) == before
    assert "<3>nodeprep: nothing more is done early: /etc/nodeprep/nodeprep.toml" in capsys.readouterr().err


def test_a_renewal_that_fails_fails_alone(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in: Callable[[tuple[str, ...], float], str] = programs.run

    def no_ssh_keygen(argv: tuple[str, ...], timeout_s: float) -> str:
        if argv[0] == "ssh-keygen":
            raise HostError("ssh-keygen: not there")
        return stand_in(argv, timeout_s)

    monkeypatch.setattr(programs, "run", no_ssh_keygen)
    before = disk.pairs(root)
    move(root)
    assert early.main() == 0
    assert machine_id(root) != disk.MACHINE_ID
    assert disk.pairs(root) == before
    assert "<3>nodeprep: ssh-host-keys: failed: ssh-keygen: not there" in capsys.readouterr().err


def test_a_torn_stamp_falls_back_to_the_one_before(root: Path) -> None:
    stamp = root / "var/lib/nodeprep/stamp.json"
    stamp.rename(root / "var/lib/nodeprep/stamp.json.prev")
    stamp.write_text("{")
    move(root)
    assert early.main() == 0
    assert machine_id(root) != disk.MACHINE_ID


def test_a_renewal_under_way_goes_on_even_on_the_stamps_hardware(root: Path) -> None:
    move(root)
    early.main()
    text = (root / renewal.PATH[1:]).read_text()
    move(root, to=HOME)
    disk.put(root, "/etc/machine-id", f"{disk.MACHINE_ID}\n".encode(), 0o444)
    assert early.main() == 0
    assert machine_id(root) != disk.MACHINE_ID
    assert json.loads((root / renewal.PATH[1:]).read_text())["inherited"] == json.loads(text)["inherited"]
