"""The platform's signals: what is one machine in every spelling, and what is no signal at all."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from nodeprep.host import platform
from nodeprep.host.platform import FILLER_UUIDS, canonical_uuid, digest, hardware, permanent_macs, signals
from tests.fakes.disk import put

UUID = "4c4c4544-0042-3510-8052-b4c04f564433"
SWAPPED = "44454c4c-4200-1035-8052-b4c04f564433"


@pytest.fixture
def sysfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NODEPREP_SYSFS", str(tmp_path))
    return tmp_path


def link(sysfs: Path, name: str, mac: str, assign_type: str = "0") -> None:
    put(sysfs, f"/class/net/{name}/address", f"{mac}\n".encode())
    put(sysfs, f"/class/net/{name}/addr_assign_type", f"{assign_type}\n".encode())


def test_both_byte_orders_are_one_machine() -> None:
    assert canonical_uuid(UUID) == canonical_uuid(SWAPPED) == canonical_uuid(UUID.upper())
    assert re.fullmatch("[0-9a-f]{32}", canonical_uuid(UUID))


def test_two_machines_stay_two() -> None:
    assert canonical_uuid(UUID) != canonical_uuid(UUID.replace("4433", "4434"))


def swapped(uuid: str) -> str:
    """Return the other byte order of the first three fields (SMBIOS 2.6)."""
    first, second, third, *rest = uuid.split("-")
    turned = ("".join(reversed(re.findall("..", part))) for part in (first, second, third))
    return "-".join((*turned, *rest))


def test_swapping_is_what_is_meant() -> None:
    assert swapped(UUID) == SWAPPED


@pytest.mark.parametrize("filler", sorted(FILLER_UUIDS))
def test_a_filler_is_no_signal_in_any_spelling(filler: str) -> None:
    for spelling in (filler, filler.upper(), swapped(filler), swapped(filler).upper()):
        assert canonical_uuid(spelling) == "", spelling


def test_a_genuine_uuid_that_looks_odd_is_kept() -> None:
    assert canonical_uuid("00000000-0000-0000-0000-ac1f6b000001")


@pytest.mark.parametrize("text", ["", "Not Settable", "1234", UUID[:-1]])
def test_what_is_no_uuid(text: str) -> None:
    assert canonical_uuid(text) == ""


def test_only_macs_of_the_hardware_are_permanent(sysfs: Path) -> None:
    link(sysfs, "eth0", "52:54:00:AA:00:01")
    link(sysfs, "lo", "00:00:00:00:00:00")
    link(sysfs, "dummy0", "02:00:00:00:00:01", "1")
    link(sysfs, "cni0", "02:00:00:00:00:02", "3")
    link(sysfs, "sit0", "00:00:00:00:00:00")
    link(sysfs, "ib0", "80:00:00:48:fe:80:00:00:00:00:00:00:00:02:c9:03:00:0e:12:34")
    put(sysfs, "/class/net/gone/ifindex", b"9")
    assert permanent_macs() == {"eth0": "52:54:00:aa:00:01"}


def test_what_cannot_be_read_is_left_out(sysfs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "_cloud_instance_id", lambda: "")
    assert signals() == {}
    put(sysfs, "/class/dmi/id/product_uuid", b"Not Settable\n")
    assert signals() == {}


def test_a_moved_sysfs_shows_the_platform(sysfs: Path) -> None:
    put(sysfs, "/class/dmi/id/product_uuid", f"{UUID}\n".encode())
    put(sysfs, "/class/dmi/id/board_asset_tag", b"i-0123456789abcdef0\n")
    link(sysfs, "eth0", "52:54:00:aa:00:01")
    assert signals() == {
        "product-uuid": {canonical_uuid(UUID)},
        "permanent-mac": {"52:54:00:aa:00:01"},
        "cloud-instance-id": {"i-0123456789abcdef0"},
    }
    assert signals({"eth0": "52:54:00:aa:00:02"})["permanent-mac"] == {"52:54:00:aa:00:02"}


def test_in_a_container_sysfs_is_the_hosts_and_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "/class/dmi/id/product_uuid", UUID.encode())
    link(tmp_path, "eth0", "52:54:00:aa:00:01")
    monkeypatch.delenv("NODEPREP_SYSFS", raising=False)
    monkeypatch.setattr(platform, "sysfs", lambda: str(tmp_path))
    exists = os.path.exists
    contained = [False]
    monkeypatch.setattr(os.path, "exists", lambda p: contained[0] if p == "/run/systemd/container" else exists(p))
    assert platform.dmi("product_uuid") == UUID
    assert permanent_macs() == {"eth0": "52:54:00:aa:00:01"}
    contained[0] = True
    assert platform.dmi("product_uuid") == ""
    assert permanent_macs() == {}


def test_a_moved_sysfs_is_not_hidden_by_a_container(sysfs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link(sysfs, "eth0", "52:54:00:aa:00:01")
    exists = os.path.exists
    monkeypatch.setattr(os.path, "exists", lambda p: p == "/run/systemd/container" or exists(p))
    assert permanent_macs() == {"eth0": "52:54:00:aa:00:01"}


def test_the_digest_is_of_what_the_early_run_can_read() -> None:
    home = {"product-uuid": frozenset({"u"}), "permanent-mac": frozenset({"a", "b"})}
    assert digest(home) == digest(home | {"cloud-instance-id": frozenset({"i-1"})})
    assert digest(home) == digest(dict(reversed(home.items())))
    others = [
        {"product-uuid": frozenset({"v"}), "permanent-mac": frozenset({"a", "b"})},
        {"product-uuid": frozenset({"u"}), "permanent-mac": frozenset({"a"})},
        {"product-uuid": frozenset({"u"})},
        {},
    ]
    assert len({digest(other) for other in (home, *others)}) == 5


@pytest.mark.parametrize("text", ["None", "To Be Filled By O.E.M.", "Default string", "0"])
def test_a_serial_that_nobody_filled_in(sysfs: Path, text: str) -> None:
    put(sysfs, "/class/dmi/id/product_serial", f"{text}\n".encode())
    assert platform.serial() == ""


def test_a_serial(sysfs: Path) -> None:
    put(sysfs, "/class/dmi/id/product_serial", b"VMware-56 4d 1c\n")
    assert platform.serial() == "VMware-56 4d 1c"


GENERATION = bytes(range(1, 17))


def test_a_vm_generation_id_is_what_lies_behind_the_header(sysfs: Path) -> None:
    place = "/firmware/qemu_fw_cfg/by_name/etc/vmgenid_guid/raw"
    put(sysfs, place, b"A" * 40 + GENERATION + b"\0" * 4040)
    assert signals()["vm-generation-id"] == {GENERATION.hex()}
    for blob in (b"", b"A" * 40 + GENERATION[:8], b"A" * 40 + bytes(16)):
        put(sysfs, place, blob)
        assert "vm-generation-id" not in signals(), blob


def test_serials_of_disks_that_are_built_in(sysfs: Path) -> None:
    put(sysfs, "/block/vda/serial", b"virtio-1")
    put(sysfs, "/block/vda/removable", b"0\n")
    put(sysfs, "/block/nvme0n1/device/serial", b"NVME 2        \n")
    put(sysfs, "/block/sda/device/vpd_pg80", b"\x00\x80\x00\x08SCSI-003")
    put(sysfs, "/block/sr0/device/vpd_pg80", b"\x00\x80\x00\x03DVD")
    put(sysfs, "/block/sr0/removable", b"1\n")
    put(sysfs, "/block/loop0/removable", b"0\n")
    assert signals()["disk-serial"] == {"virtio-1", "NVME 2", "SCSI-003"}


def test_a_container_has_the_uuid_that_its_manager_gave_it(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"/run/host/container-uuid": "4C4C4544-0042-3510-8052-b4c04f564433", "/etc/machine-id": "0" * 32}
    monkeypatch.setattr(platform, "_read", lambda path: files.get(path, ""))
    assert signals()["container-uuid"] == {UUID.replace("-", "")}
    # systemd-nspawn hands the image's machine ID on where it was told no UUID.
    files["/etc/machine-id"] = UUID.replace("-", "")
    assert "container-uuid" not in signals()


def test_the_fast_path_compares_what_the_stamp_was_written_with(sysfs: Path) -> None:
    put(sysfs, "/class/dmi/id/product_uuid", f"{UUID}\n".encode())
    link(sysfs, "eth0", "52:54:00:aa:00:01")
    put(sysfs, "/block/vda/serial", b"virtio-1")
    assert digest(hardware()) == digest(signals())
