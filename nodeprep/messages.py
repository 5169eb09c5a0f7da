"""Messages: every sentence said to a person, with the code and MESSAGE_ID by which it is found again.

Released codes and MESSAGE_IDs never change. The journal catalog (`journalctl -x`) and `nodeprep explain` are made from
this table. A plain table, so that `nodeprep status` need not import more.
"""

from __future__ import annotations

from typing import NamedTuple


class Message(NamedTuple):
    """What is said, why it matters, and what to do."""

    code: str
    message_id: str
    title: str
    diagnosis: str
    remedy: str


MESSAGES = (
    Message(
        "starting",
        "98247ba3191b54f28a2be27d1f0c2e1d",
        "Preparing this node's identity",
        "The daemon has started and has not judged yet.",
        "Wait: `nodeprep status --wait`.",
    ),
    Message(
        "ready",
        "045cc761bce5582ab9eb5d11bdbce2da",
        "This node is ready",
        "Its identity is its own, nobody on the wire contests it, and the openings of its role are made.",
        "Nothing is to be done.",
    ),
    Message(
        "renewed",
        "76f9056aa69c59139357b2253fca598a",
        "An identity artefact was renewed",
        "This machine is a copy, or a live peer held the same. The former value lies in the attic "
        "(/var/lib/nodeprep/attic).",
        "Nothing is to be done. What knew the machine by its old identity (known_hosts, inventories) learns "
        "the new one.",
    ),
    Message(
        "adopted",
        "f34d664fcfdd52348e5d730c11a9a11f",
        "An operator's change was adopted",
        "An artefact differs from the stamp on unchanged hardware, so an operator changed it; the stamp follows.",
        "Nothing is to be done.",
    ),
    Message(
        "conflict",
        "0e64ca46ffc152aaac6740ea95fc724a",
        "A live peer presents the same identity",
        "Another machine of this fleet answers for it now. This node keeps its kubelet from starting until that ends.",
        "Shut down or rename one of the two; or let nodeprep renew it: see `address.on_conflict` and "
        "`mac.on_conflict` in nodeprep.toml.",
    ),
    Message(
        "dispute",
        "f54cbbd3ef3d56458042460f6db5cdf8",
        "A conflict arose after this node was ready",
        "Two machines that were both ready present the same. Nothing is changed without an operator.",
        "Drain one of the two, then restart nodeprep.service on it.",
    ),
    Message(
        "inherited",
        "43479dc8da665670a3f8c407e4ac5153",
        "Still the template's value",
        "This machine is a copy and keeps a value that only a policy of yours could change.",
        'Set `address.on_conflict = "pool"` with a pool, or change the value by hand; the change will be adopted.',
    ),
    Message(
        "missing",
        "75400b2feb485e50a982d10eb06296cf",
        "An artefact that should be there is not",
        "Without it this machine cannot be told from others.",
        "Create it, then `systemctl restart nodeprep.service`.",
    ),
    Message(
        "unreadable",
        "ed39f0c8626a5a4e874034c2f736681b",
        "An artefact could not be read",
        "What cannot be read is never renewed, and not called unique either.",
        "See the detail; then `systemctl restart nodeprep.service`.",
    ),
    Message(
        "renewal-failed",
        "337dd372d4f25709a2b735ca7c32fa11",
        "A renewal failed",
        "A step of the renewal could not be done; it is tried again at the next start.",
        "See the detail; then `systemctl restart nodeprep.service`.",
    ),
    Message(
        "joined-clone",
        "372e4b108e635560a5263d303805ce88",
        "A copy of a machine that joined a cluster",
        "The disk holds joined cluster state, and the hardware or a live peer says that it is a copy. Nothing"
        " was renewed, and the kubelet is held.",
        "If this is the copy: `kubeadm reset` (k3s: k3s-uninstall.sh), then `systemctl restart "
        'nodeprep.service`. If it is the original, restored: set `identity.on_hardware_change = "keep"` and '
        "restart.",
    ),
    Message(
        "weak-evidence",
        "118c838c22a95bd185a178dbc1becb50",
        "The hardware changed, not enough to call this a copy",
        "Identity was kept.",
        'If this is a copy, set `identity.on_hardware_change = "renew"` and restart nodeprep.service.',
    ),
    Message(
        "moved",
        "5c515136f0c1560e88f6af4ccf15e2ff",
        "The machine was moved or its hardware replaced",
        "Identity was kept; the stamp follows.",
        'Nothing is to be done. If this is a copy after all, set `identity.on_hardware_change = "renew"`.',
    ),
    Message(
        "config",
        "884f379a0a4157ebb163a8b097b6db09",
        "The configuration cannot be used",
        "Nothing was changed, and the node is not ready.",
        "Correct the key named in the detail, then `systemctl restart nodeprep.service`.",
    ),
    Message(
        "openings",
        "efe167dd0bbc5d2a8e60db7bf8afd1d3",
        "The openings of the role are not made",
        "The firewall refused, or another rule closes what the role needs.",
        "See the detail; `nft list ruleset` shows every rule.",
    ),
    Message(
        "reboot",
        "3604f5de72c85a76a695c5086befd5bf",
        "Booting again",
        "The running system still holds the old identity and has to let go of it. This is done once.",
        "Nothing is to be done.",
    ),
    Message(
        "old-identity-held",
        "29503b5487115175a3c886446d1fdc40",
        "Something still holds the old identity",
        "After a renewal and one reboot a service still gives the old machine ID.",
        "Restart the service named in the detail, then nodeprep.service.",
    ),
    Message(
        "machine",
        "96810d571ad1562bb6224b64579124c8",
        "The machine did not answer",
        "A file, a program, the bus or the network refused what nodeprep asked.",
        "See the detail; then `systemctl restart nodeprep.service`.",
    ),
    Message(
        "no-pool-address",
        "13926197bd5c57d3a5ef3ff90474b022",
        "No address of the pool is free",
        "Every address of `address.pool` is in use or claimed by a peer.",
        "Widen the pool, then `systemctl restart nodeprep.service`.",
    ),
)

BY_CODE = {message.code: message for message in MESSAGES}


def explain(code: str) -> str | None:
    """Return the whole text on a code, or None where there is no such code."""
    message = BY_CODE.get(code)
    if message is None:
        return None
    return f"{message.code}: {message.title}\n\n{message.diagnosis}\n\n{message.remedy}\n"


def catalog() -> str:
    """Return the journal message catalog (journalctl(1), -x)."""
    entries = (
        f"-- {message.message_id}\nSubject: {message.title}\nDefined-By: nodeprep\n"
        f"Documentation: man:nodeprep(8)\n\n{message.diagnosis}\n\n{message.remedy}\n"
        for message in MESSAGES
    )
    return "# Made by `make catalog` from nodeprep/messages.py.\n\n" + "\n".join(entries)


if __name__ == "__main__":
    print(catalog(), end="")
