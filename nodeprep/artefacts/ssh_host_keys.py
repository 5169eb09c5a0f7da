"""SSH host keys: what proves to a client that this is the machine it meant (sshd(8)).

Made beside the old ones and then put in their place. They are never only deleted: Debian makes no new ones at boot.
"""

from __future__ import annotations

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Claim, Finding, Kind, Lacking, Reading, Stage
from nodeprep.reading import removals
from nodeprep.steps import Action, Fresh, ReplaceFiles, RunProgram, Situation

FOLDER = "/etc/ssh"
KEYS = f"{FOLDER}/ssh_host_*key*"
STAGED = f"/var/lib/nodeprep/staging{FOLDER}"
SSHD = "/usr/sbin/sshd"


def observe(machine: MachineView) -> Reading:
    """Return the public host keys, without their comments."""
    texts = (machine.read_text(path) for path in machine.glob(f"{KEYS}.pub") if not path.endswith("-cert.pub"))
    keys = frozenset(" ".join(text.split()[:2]) for text in texts if text and text.strip())
    return Lacking("sshd is installed and has no host keys") if not keys and machine.exists(SSHD) else keys


def plan(finding: Finding, fresh: Fresh, situation: Situation) -> tuple[Action, ...]:
    """Make a default set in the staging folder, then put it in place."""
    return (
        RunProgram(("ssh-keygen", "-q", "-A", "-f", fresh.staging), timeout_s=120),
        ReplaceFiles(KEYS, f"{fresh.staging}/etc/ssh"),
    )


def lacks(machine: MachineView) -> str:
    """Say which key of a set that was being put in place has no public half yet: there is no former set to tell it."""
    staged = (path.rpartition("/")[2] for path in machine.glob(f"{STAGED}/*.pub"))
    halves = (f"{FOLDER}/{name}" for name in staged if machine.exists(f"{FOLDER}/{name.removesuffix('.pub')}"))
    return next((f"there is no {path}" for path in halves if not machine.exists(path)), "")


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Take them out of the image, certificates of them too; the first boot makes a set before sshd starts."""
    return removals(machine, (KEYS,))


ARTEFACT = Artefact(
    name="ssh-host-keys",
    title="SSH host keys",
    reason="Machines that share a host key can impersonate one another.",
    kind=Kind.A,
    stage=Stage.EARLY,
    after=("random-seed",),
    observe=observe,
    plan=plan,
    claim=Claim.SSH_HOST_KEY,
    confidential=True,
    restart=("ssh.service", "sshd.service"),
    lacks=lacks,
    seal=seal,
)
