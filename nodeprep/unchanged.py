"""Whether this boot is plainly the stamp's machine, with nothing left to do: asked before the boot has to wait for it.

It needs the folder of the stamp and what the hypervisor shows, and so it is asked beside journald and the mounts; the
early run, for which half of the boot waits, is then left out. Nothing but `os` and a hash function is imported for it.
"""

from __future__ import annotations

import os

from nodeprep.host import platform

STATE = "/var/lib/nodeprep"
MARK = "/run/nodeprep/boot/unchanged"
"""There if it is, for as long as nodeprep-unchanged.service is up, whose folder that is."""


def unchanged() -> bool:
    """Whether this boot is plainly the stamp's machine.

    The digest is looked for as text: parsing would cost more than all the rest. A torn stamp that still has it decides
    nothing wrong, since nothing is done then, and the main run reads the stamp properly.
    """
    try:
        with open(f"{STATE}/stamp.json", "rb") as file:
            stamp = file.read()
    except OSError:
        return False
    if any(os.path.exists(f"{STATE}/{name}") for name in ("renewal.json", "baked-offline", "decided")):
        return False
    return f'"hardware_digest": "{platform.digest(platform.hardware())}"'.encode() in stamp


def main() -> int:
    """Leave the mark if it is; the exit code is always 0. Where it cannot be left, the early run asks once more."""
    if unchanged():
        try:
            os.close(os.open(MARK, os.O_WRONLY | os.O_CREAT, 0o644))
        except OSError:
            pass
    return 0
