"""The platform's signals: what the hypervisor, not the disk, says this machine is.

Light enough for the boot fast path: `os` and one hash function, nothing else. The place where sysfs is read can be
moved with the environment variable NODEPREP_SYSFS, so that a test can present a platform.
"""

from __future__ import annotations

import os

try:
    # What hashlib has under that name, without the two thirds of the fast path's imports that loading OpenSSL is.
    from _blake2 import blake2s
except ImportError:  # an interpreter that was built without its own
    from hashlib import blake2s

# Product UUIDs that mean "none". An exact list: guessing by pattern has rejected genuine ones.
FILLER_UUIDS = frozenset(
    {
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "03000200-0400-0500-0006-000700080009",
        "12345678-1234-5678-90ab-cddeefaabbcc",
    }
)

FILLER_SERIALS = frozenset(
    {"0", "none", "n/a", "not specified", "default string", "system serial number", "to be filled by o.e.m."}
)

FILLER_DIGITS = frozenset(uuid.replace("-", "") for uuid in FILLER_UUIDS)

Signals = dict[str, frozenset[str]]


def sysfs() -> str:
    """Return where sysfs is read."""
    return os.environ.get("NODEPREP_SYSFS", "/sys")


def is_moved() -> bool:
    """Whether a test presents the platform."""
    return "NODEPREP_SYSFS" in os.environ


def is_hidden() -> bool:
    """Whether sysfs tells of another machine: in a container it is the host's, links and DMI alike (systemd(1))."""
    return not is_moved() and os.path.exists("/run/systemd/container")


def _read(path: str) -> str:
    """Return a file's text without surrounding white space, or "" where it cannot be read."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def dmi(name: str) -> str:
    """Return a DMI field (Linux, Documentation/ABI/testing/sysfs-class-dmi), or "" where there is none."""
    return "" if is_hidden() else _read(f"{sysfs()}/class/dmi/id/{name}")


def serial() -> str:
    """Return the product's serial number, or "" where its maker left the field to others."""
    text = dmi("product_serial")
    return "" if text.lower() in FILLER_SERIALS else text


def canonical_uuid(text: str) -> str:
    """Return one form for both byte orders of a product UUID (SMBIOS 2.6 swapped the first three fields), or ""."""
    digits = text.lower().replace("-", "")
    if len(digits) != 32:
        return ""
    swapped = "".join(
        (digits[6:8], digits[4:6], digits[2:4], digits[0:2], digits[10:12], digits[8:10], digits[14:16], digits[12:14])
    )
    swapped += digits[16:]
    return "" if {digits, swapped} & FILLER_DIGITS else min(digits, swapped)


def permanent_macs() -> dict[str, str]:
    """Return link name → MAC of the links whose address comes from the hardware (addr_assign_type 0)."""
    folder = f"{sysfs()}/class/net"
    try:
        names = [] if is_hidden() else sorted(os.listdir(folder))
    except OSError:
        return {}
    macs = {}
    for name in names:
        if name != "lo" and _read(f"{folder}/{name}/addr_assign_type") == "0":
            mac = _read(f"{folder}/{name}/address").lower()
            if len(mac) == 17 and mac != "00:00:00:00:00:00":
                macs[name] = mac
    return macs


def _cloud_instance_id() -> str:
    tag = dmi("board_asset_tag")  # EC2 puts it there, before any network
    if tag.startswith("i-"):
        return tag
    return _read("/run/cloud-init/.instance-id")  # written by cloud-init in this boot


def _container_uuid() -> str:
    """Return the UUID that a container's manager gave it (systemd.io/CONTAINER_INTERFACE), or "".

    Where it was told none, systemd-nspawn passes on the machine ID of the image, which is no news of the platform.
    """
    given = _read("/run/host/container-uuid").lower().replace("-", "")
    return "" if given == _read("/etc/machine-id") else given


def _vm_generation_id() -> str:
    """Return the VM generation ID that QEMU shows through fw_cfg, or "": 16 bytes behind the ACPI header's 40.

    Source: QEMU, docs/specs/vmgenid.rst.
    """
    if is_hidden():
        return ""
    try:
        with open(f"{sysfs()}/firmware/qemu_fw_cfg/by_name/etc/vmgenid_guid/raw", "rb") as file:
            blob = file.read(56)
    except OSError:
        return ""
    return blob[40:56].hex() if len(blob) == 56 and any(blob[40:56]) else ""


def _disk_serials() -> frozenset[str]:
    """Return the serials of the disks that are built in: of virtio, NVMe and SCSI (page 0x80 of SPC-4)."""
    folder = f"{sysfs()}/block"
    try:
        names = [] if is_hidden() else os.listdir(folder)
    except OSError:
        return frozenset()
    disks = [f"{folder}/{name}" for name in names if _read(f"{folder}/{name}/removable") != "1"]
    places = ("serial", "device/serial", "device/vpd_pg80")
    found = (_read(f"{disk}/{place}") for disk in disks for place in places)
    return frozenset("".join(c for c in text if " " <= c <= "~").strip() for text in found) - {""}


def hardware(macs: dict[str, str] | None = None) -> Signals:
    """Return the signals that the boot fast path compares; see `signals`."""
    return {
        "product-uuid": frozenset({canonical_uuid(dmi("product_uuid"))} - {""}),
        "permanent-mac": frozenset((permanent_macs() if macs is None else macs).values()),
    }


def signals(macs: dict[str, str] | None = None) -> Signals:
    """Return kind → values of every signal that can be read; what cannot is left out.

    macs are the permanent MACs by link name, where the caller knows better than sysfs.
    """
    found = {
        **hardware(macs),
        "cloud-instance-id": frozenset({_cloud_instance_id()} - {""}),
        "container-uuid": frozenset({_container_uuid()} - {""}),
        "vm-generation-id": frozenset({_vm_generation_id()} - {""}),
        "disk-serial": _disk_serials(),
    }
    return {kind: values for kind, values in found.items() if values}


def digest(found: Signals) -> str:
    """Return one digest over the hardware's signals: what the boot fast path compares."""
    lines = [f"{kind}={value}" for kind in ("product-uuid", "permanent-mac") for value in sorted(found.get(kind, ()))]
    return blake2s("\n".join(lines).encode(), key=b"nodeprep-hardware").hexdigest()
