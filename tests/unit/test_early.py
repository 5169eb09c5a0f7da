"""The early run: a renewal of what lives in files, or nothing at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from nodeprep import early, renewal, run, unchanged
from nodeprep.errors import HostError
from nodeprep.host import local, programs
from nodeprep.stamp import fingerprints
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
    monkeypatch.setattr(unchanged, "STATE", f"{made}/var/lib/nodeprep")
    rooted = local.LocalMachine
    assert run.adopt(rooted("adopt", str(made)))
    monkeypatch.setattr(local, "LocalMachine", lambda name, **told: rooted(name, str(made), **told))
    monkeypatch.setattr(programs, "run", disk.Programs().run)
    monkeypatch.setattr(programs, "active_units", lambda units: units & {"systemd-journald.service"})
    return made


def move(root: Path, *, to: tuple[str, str] = ELSEWHERE) -> None:
    disk.make_platform(root.parent / "sys", *to)


def everything(root: Path) -> dict[str, bytes]:
    """Return path → content of all that is on the disk; /run is none."""
    found = (path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    return {str(path): path.read_bytes() for path in found if root / "run" not in path.parents}


def machine_id(root: Path) -> str:
    return (root / "etc/machine-id").read_text().strip()


def test_a_boot_that_turns_out_to_be_unchanged_writes_nothing(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = everything(root)
    assert early.main() == 0
    assert everything(root) == before
    assert not (root / "run/nodeprep/early.json").exists()
    assert capsys.readouterr().err == "", "it left at once"


def test_the_unit_starts_what_is_tested_here() -> None:
    unit = (REPOSITORY / "units" / "nodeprep-early.service").read_text()
    assert "python3 -I -S -c" in unit
    assert "from nodeprep.early import main" in unit


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


def test_all_is_said_before_journald_is_restarted(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # It would be lost if this process were gone before journald is back.
    programs_ = disk.Programs()
    told = ""

    def run_and_look(argv: tuple[str, ...], timeout_s: float) -> str:
        nonlocal told
        if "systemd-journald.service" in argv:
            told = capsys.readouterr().err
            raise HostError("systemctl: exit 1: no such luck")
        return programs_.run(argv, timeout_s)

    monkeypatch.setattr(programs, "run", run_and_look)
    move(root)
    assert early.main() == 0
    assert "<5>nodeprep: renewed ssh-host-keys" in told
    assert capsys.readouterr().err == "<3>nodeprep: running-system: failed: systemctl: exit 1: no such luck\n"
    report = json.loads((root / "run/nodeprep/early.json").read_text())
    assert ["running-system", "failed", "systemctl: exit 1: no such luck"] in report["outcomes"]


def test_what_the_template_is_called_is_written_down_before_anybody_renames_the_machine(root: Path) -> None:
    move(root)
    disk.put(root, run.BAKED_OFFLINE, b"")
    disk.put(root, run.SEALED_NOW, b"")
    early.main()
    under_way = renewal.read(local.LocalMachine("test"))
    assert under_way is not None
    assert under_way.inherited["hostname"] == fingerprints("hostname", ["template"])
    assert under_way.inherited["hosts-entry"]
    assert "mac" not in under_way.inherited, "what only the managers know is the main run's"
    assert (root / "etc/hostname").read_text() == "template\n", "and so is the renaming"
    assert not (root / run.SEALED_NOW[1:]).exists()


def test_what_was_renewed_early_stays_at_the_next_boot(root: Path) -> None:
    move(root)
    early.main()
    first, keys = machine_id(root), disk.pairs(root)
    early.main()  # the daemon never came to write the stamp
    assert machine_id(root) == first
    assert disk.pairs(root) == keys


def test_a_moved_machine_is_left_alone(root: Path) -> None:
    move(root, to=(ELSEWHERE[0], HOME[1]))
    before = everything(root)
    assert early.main() == 0
    assert everything(root) == before


@pytest.mark.parametrize("joined", [False, True], ids=["never-joined", "joined"])
def test_a_new_card_is_found_by_the_profile_of_the_old_one_and_nothing_else_changes(root: Path, joined: bool) -> None:
    profile = root / "etc/systemd/network/10-lan.network"
    if joined:
        disk.put(root, MEMBERSHIP, b"clusters: []\n")
    move(root, to=(HOME[0], ELSEWHERE[1]))
    others = set(map(str, disk.files(root))) - {str(profile)}
    before = {path: Path(path).read_bytes() for path in others}
    text = profile.read_text()
    assert early.main() == 0
    assert profile.read_text() == text.replace(HOME[1], ELSEWHERE[1]) != text
    assert {path: Path(path).read_bytes() for path in others} == before


MEMBERSHIP = "/etc/kubernetes/kubelet.conf"
KEY = "/etc/salt/pki/minion/minion.pem"
HELD = "/var/lib/nodeprep/held/salt-minion.service"


def adopted_with(root: Path, **files: bytes) -> None:
    """Let the template have had these before it was adopted."""
    for path, content in {MEMBERSHIP: files.get("membership"), KEY: files.get("key")}.items():
        if content is not None:
            disk.put(root, path, content)
    (root / "var/lib/nodeprep/stamp.json").unlink()
    run.adopt(local.LocalMachine("adopt"))


def in_the_attic(root: Path) -> list[bytes]:
    attic = root / "var/lib/nodeprep/attic"
    return [path.read_bytes() for path in attic.rglob("*") if path.is_file()]


def test_a_joined_copy_is_left_as_it_is(root: Path) -> None:
    adopted_with(root, membership=b"clusters: []")
    move(root)
    before = everything(root)
    assert early.main() == 0
    assert everything(root) == before
    assert json.loads((root / "run/nodeprep/early.json").read_text())["changes"] == []


def test_a_joined_copy_is_reset_where_the_policy_says_so(root: Path) -> None:
    disk.put(root, "/etc/nodeprep/nodeprep.toml", b'[identity]\njoined_clone = "reset"\n')
    adopted_with(root, membership=b"clusters: []")
    move(root)
    assert early.main() == 0
    assert not (root / MEMBERSHIP[1:]).exists()
    assert b"clusters: []" in in_the_attic(root)
    assert machine_id(root) != disk.MACHINE_ID


def test_an_operators_word_renews_on_unchanged_hardware(root: Path) -> None:
    adopted_with(root, membership=b"clusters: []")
    disk.put(root, run.DECIDED, b"renew\n")
    assert early.main() == 0
    assert not (root / MEMBERSHIP[1:]).exists()
    assert machine_id(root) != disk.MACHINE_ID


def test_an_operators_word_keeps_everything_on_other_hardware(root: Path) -> None:
    disk.put(root, run.DECIDED, b"keep\n")
    move(root)
    before = everything(root)
    assert early.main() == 0
    assert everything(root) == before


@pytest.mark.parametrize("membership", [None, b"clusters: []"], ids=["never-joined", "joined"])
def test_what_is_enrolled_elsewhere_is_held_before_it_starts_and_stays_where_it_is(
    root: Path, membership: bytes | None
) -> None:
    adopted_with(root, key=b"template's key", **({"membership": membership} if membership else {}))
    move(root)
    assert early.main() == 0
    assert (root / HELD[1:]).exists()
    assert (root / KEY[1:]).read_bytes() == b"template's key"
    assert (machine_id(root) == disk.MACHINE_ID) == bool(membership)


def test_what_is_enrolled_on_the_machine_itself_is_not_held(root: Path) -> None:
    adopted_with(root, key=b"its own key")
    move(root, to=(ELSEWHERE[0], HOME[1]))
    assert early.main() == 0
    assert not (root / HELD[1:]).exists()


@pytest.mark.parametrize("text", ["[nod", '[node]\nhostname = "{serial}"\n'])
def test_a_configuration_that_cannot_be_used_changes_nothing_and_boots(
    root: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    disk.put(root, "/etc/nodeprep/nodeprep.toml", text.encode())
    move(root)
    before = everything(root)
    assert early.main() == 0
    assert everything(root) == before
    assert "<3>nodeprep: nothing more is done early: /etc/nodeprep/nodeprep.toml" in capsys.readouterr().err


def test_a_hostname_from_what_is_known_only_later_keeps_nothing_from_being_renewed(root: Path) -> None:
    disk.put(root, "/etc/nodeprep/nodeprep.toml", b'[node]\nhostname = "{role}-{id}-{mac}"\n')
    disk.put(root, "/var/lib/nodeprep/baked-offline", b"")
    for attribute in (root.parent / "sys/class/net/eth0").iterdir():
        attribute.unlink()  # its driver is not loaded yet
    assert early.main() == 0
    assert machine_id(root) != disk.MACHINE_ID


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


def test_a_copy_whose_stamp_is_torn_is_in_doubt_and_kept(root: Path) -> None:
    stamp = root / "var/lib/nodeprep/stamp.json"
    stamp.rename(root / "var/lib/nodeprep/stamp.json.prev")
    stamp.write_text("{")
    move(root)
    before = everything(root)
    assert early.main() == 0
    assert everything(root) == before


def test_a_renewal_under_way_goes_on_even_on_the_stamps_hardware(root: Path) -> None:
    move(root)
    early.main()
    text = (root / renewal.PATH[1:]).read_text()
    move(root, to=HOME)
    disk.put(root, "/etc/machine-id", f"{disk.MACHINE_ID}\n".encode(), 0o444)
    assert early.main() == 0
    assert machine_id(root) != disk.MACHINE_ID
    assert json.loads((root / renewal.PATH[1:]).read_text())["inherited"] == json.loads(text)["inherited"]
