"""Base trees: Debian as mmdebstrap(1) makes it, built once for each release and list of packages.

A tree is built under a temporary name and renamed, so one that is found is whole; a lock lets parallel workers build
it once. Trees lie in $NODEPREP_LAB_CACHE, else in /var/cache/nodeprep-lab. They are lower directories of overlays and
are never written to.
"""

import contextlib
import enum
import fcntl
import hashlib
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

from tests.lab.traces import LabError, administer

BUILD_TIMEOUT_S = 900.0
PACKAGES = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "network-manager",
    "openssh-server",
    "iproute2",
    "nftables",
    "udev",
    "kmod",
    "procps",
    "python3",
    "python3-pyroute2",
    "python3-dbus-next",
    "python3-systemd",
    "python3-structlog",
    "python3-nftables",
    "iputils-arping",
    "libpam-systemd",
)


class Release(enum.Enum):
    """A Debian release that is tried in the lab; the value is its code name."""

    BOOKWORM = "bookworm"
    TRIXIE = "trixie"

    @property
    def packages(self) -> tuple[str, ...]:
        """Return what the base tree of this release holds beside a minimal Debian."""
        return (*PACKAGES, "policykit-1" if self is Release.BOOKWORM else "polkitd")


def cache() -> Path:
    """Return the directory in which trees are kept between runs."""
    return Path(os.environ.get("NODEPREP_LAB_CACHE") or "/var/cache/nodeprep-lab")


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of that name against other processes, waiting for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def mirror() -> str:
    """Return the Debian archive this machine uses: $NODEPREP_LAB_MIRROR, else the first in apt's own configuration."""
    named = os.environ.get("NODEPREP_LAB_MIRROR")
    if named:
        return named
    targets = administer("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages")
    for line in targets.splitlines():
        uri, _, suite = line.partition(" ")
        if uri.rstrip("/").endswith("/debian") and not suite.endswith(("-security", "-updates", "-backports")):
            return uri
    raise LabError("apt is configured with no Debian archive; name one in NODEPREP_LAB_MIRROR")


def base_key(release: Release, extra: tuple[str, ...] = ()) -> str:
    """Return the name of a base tree; it changes with the release and the list of packages."""
    digest = hashlib.sha256(" ".join((release.value, *release.packages, *extra)).encode()).hexdigest()
    return f"base-{release.value}-{digest[:12]}"


def base_tree(release: Release, extra: tuple[str, ...] = ()) -> Path:
    """Return the directory of a release's tree with extra packages, building it if the cache has none (a minute)."""
    tree = cache() / base_key(release, extra)
    if tree.is_dir():
        return tree
    with locked(tree.with_suffix(".lock")):
        if not tree.is_dir():
            _build(release, extra, tree)
    return tree


def _build(release: Release, extra: tuple[str, ...], tree: Path) -> None:
    for abandoned in tree.parent.glob(f"{tree.name}.part-*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    part = tree.with_name(f"{tree.name}.part-{uuid.uuid4().hex[:8]}")
    command: tuple[str, ...] = ("mmdebstrap", "--format=directory", release.value, str(part), mirror())
    if extra:
        # Packages are added to a copy: seconds, where a tree from nothing takes more than a minute.
        base = base_tree(release)
        command += ("--variant=custom", "--skip=check/empty", f"--include={','.join(extra)}")
    else:
        base = None
        command += ("--variant=minbase", f"--include={','.join(release.packages)}")
    try:
        if base:
            administer("cp", "-a", "--reflink=auto", str(base), str(part), timeout_s=BUILD_TIMEOUT_S)
            shutil.rmtree(part / "dev")  # mmdebstrap makes its nodes itself
            (part / "dev").mkdir()
        done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S, check=False)
        if done.returncode:
            raise LabError(f"mmdebstrap could not build {release.value}:\n{done.stderr[-2000:]}")
        part.rename(tree)
    finally:
        shutil.rmtree(part, ignore_errors=True)
