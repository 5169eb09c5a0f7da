"""The README's own commands, in its order, on a Debian that has never seen nodeprep: install, status, seal, clone."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.lab.clone import Clone
from tests.lab.conftest import MakeClone
from tests.lab.expectations import assert_pairwise_different
from tests.lab.golden import PROFILE, PROFILE_PATH
from tests.lab.identity import identity, shared
from tests.lab.tree import Release, base_tree

README = Path(__file__).parents[2] / "README.md"


def blocks() -> list[list[str]]:
    """Return the README's indented blocks, as lines without their indent."""
    found: list[list[str]] = [[]]
    for line in README.read_text().splitlines():
        if line.startswith("    "):
            found[-1].append(line.strip())
        elif line.strip() and found[-1]:
            found.append([])
    return [block for block in found if block]


def commands() -> list[str]:
    """Return the README's first commands, without what it says of them."""
    return [line.partition("#")[0].strip() for line in blocks()[0]]


def configuration() -> str:
    """Return the drop-in that the README suggests."""
    return "\n".join(next(block for block in blocks() if block[0] == "[node]")) + "\n"


def type_in(machine: Clone, command: str, *, check: bool = True) -> str:
    """Run a command as root at home, as somebody does who types it; return what it prints."""
    line = f"cd /root && DEBIAN_FRONTEND=noninteractive {command}"
    return machine.run("sh", "-c", line, timeout=120, check=check).stdout


def test_the_readmes_commands_make_clones_of_a_bare_debian_unique_and_ready(
    release: Release, deb: Path, make_clone: MakeClone
) -> None:
    make, install, check, seal, status = commands()
    assert make == "make deb"
    template = make_clone("template", layers=(base_tree(release),))
    template.write(PROFILE_PATH, PROFILE, 0o600)
    template.boot()
    template.run("sh", "-c", "systemd-machine-id-setup; hostnamectl set-hostname template")
    before = identity(template)

    template.path("/root/dist").mkdir()
    shutil.copyfile(deb, template.path("/root/dist") / deb.name)
    type_in(template, install)
    template.write("/etc/nodeprep/nodeprep.toml.d/50-site.toml", configuration())
    assert type_in(template, "nodeprep status; echo $?", check=False).splitlines()[-1] == "4", "nothing was started"
    type_in(template, "systemctl start nodeprep.service")
    assert type_in(template, status).startswith("ready")
    assert identity(template) == before, "adopted"

    assert type_in(template, f"{check}; echo $?").splitlines()[-1] == "1", "there is what clones would share"
    type_in(template, seal, check=False)
    template.wait_for(lambda: not template.running)

    template.release_disk()
    layers = (template.upper, base_tree(release))
    clones = [make_clone(f"clone-{number}", layers=layers) for number in range(3)]
    for clone in clones:
        clone.boot(wait=False)
    for clone in clones:
        clone.wait_booted()
        assert type_in(clone, status).startswith("ready")
        assert clone.failed_units() == ()
        # One of them may keep the address, which is nobody's in this segment.
        assert set(shared(identity(clone), before)) <= {"ipv4"}
    assert_pairwise_different(clones)
