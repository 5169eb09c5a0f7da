"""The platform that a test presents: what a hypervisor would say, at a place that nodeprep is pointed to."""

from __future__ import annotations

from pathlib import Path

from tests.lab.clone import Clone

SYSFS = "/var/lib/lab/sys"
NEXT = "/var/lib/lab/next"
"""Where no service looks: what the next boot would find."""
UUID = "4c4c4544-0042-3510-8052-b4c04f564231"
MAC = "52:54:00:77:01:01"
DROP_IN = f"[Service]\nEnvironment=NODEPREP_SYSFS={SYSFS}\n"


def files(uuid: str, mac: str, serial: str | None = None, sysfs: str = SYSFS) -> dict[str, str]:
    """Return the sysfs attributes of a platform: product UUID, permanent MAC of eth0, serial number if it has one."""
    attributes = {
        f"{sysfs}/class/dmi/id/product_uuid": uuid,
        f"{sysfs}/class/net/eth0/address": mac,
        f"{sysfs}/class/net/eth0/addr_assign_type": "0",
    }
    return attributes if serial is None else {**attributes, f"{sysfs}/class/dmi/id/product_serial": serial}


def point_there(root: Path) -> None:
    """Let nodeprep's services in a tree read the platform there, and present the template's."""
    for unit in ("nodeprep-unchanged.service", "nodeprep-early.service", "nodeprep.service"):
        drop_in = root / f"etc/systemd/system/{unit}.d/platform.conf"
        drop_in.parent.mkdir(parents=True)
        drop_in.write_text(DROP_IN)
    for path, text in files(UUID, MAC).items():
        file = root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")


def present(clone: Clone, uuid: str, mac: str, serial: str | None = None, sysfs: str = SYSFS) -> None:
    """Present a platform to one clone, before it boots: a daemon that runs looks there too."""
    for path, text in files(uuid, mac, serial, sysfs).items():
        clone.write(path, f"{text}\n")
