"""SSH host keys: what proves to a client that this is the machine it meant (sshd(8)).

Made beside the old ones and then put in their place. They are never only deleted: Debian makes no new ones at boot.
"""

from __future__ import annotations

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Claim, Finding, Kind, Lacking, Reading, Stage
from nodeprep.reading import removals
from nodeprep.steps import Action, Fresh, ReplaceFiles, RunProgram, Situation

KEYS = "/etc/ssh/ssh_host_*key*"
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
    seal=seal,
)
