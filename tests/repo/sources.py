"""The repository as its own tests see it: the root, and the files that are or will be committed."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "units"


def tracked() -> tuple[Path, ...]:
    """Return the files of the work tree that git knows, or would add."""
    listing = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    paths = (ROOT / name for name in listing.stdout.split("\0") if name)
    return tuple(path for path in paths if path.is_file())


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a program in the root and return what it said, on both streams in one."""
    return subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
