"""Messages: every sentence said to a person, with the code and MESSAGE_ID by which it is found again.

Released codes and MESSAGE_IDs never change. The journal catalog (`journalctl -x`) and `nodeprep explain` are made from
this table. A plain table, so that `nodeprep status` need not import more.
"""

from __future__ import annotations

from typing import NamedTuple

from nodeprep.blemishes import BLEMISHES
from nodeprep.notices import REGISTRY


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
        "Drain one of the two and let it leave its cluster; then `nodeprep decide renew` on it, and boot it again.",
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
        "A step of the renewal could not be done. It is tried again, half a minute later each time, three times at"
        " most, and at the next start.",
        "See the detail; then `systemctl restart nodeprep.service`.",
    ),
    Message(
        "joined-clone",
        "372e4b108e635560a5263d303805ce88",
        "A copy of a machine that joined a cluster",
        "The disk holds joined cluster state, and the hardware or a live peer says that it is a copy. Nothing"
        " was renewed, and the kubelet is held.",
        "If this is the copy: leave the cluster (`kubeadm reset`, k3s-uninstall.sh), or `nodeprep decide renew`, which "
        "sets its membership aside. If it is the original, restored or moved: `nodeprep decide keep`.",
    ),
    Message(
        "weak-evidence",
        "118c838c22a95bd185a178dbc1becb50",
        "The hardware changed, not enough to call this a copy",
        "Identity was kept.",
        "If this is a copy: `nodeprep decide renew`. If not: `nodeprep decide keep`.",
    ),
    Message(
        "stamp",
        "a7416921e39942d98968f4549668b631",
        "The stamp cannot be read",
        "It tells which identity this machine held, and on which hardware. Without it nobody can tell a copy from the "
        "machine itself: identity and stamp are kept as they are. Where the stamp before it tells that the hardware is "
        "the same, it is written anew and this is a warning only.",
        "If this is the machine itself: `nodeprep decide keep`. If it is a copy: `nodeprep decide renew`. If a newer "
        "release wrote it: install that one.",
    ),
    Message(
        "moved",
        "5c515136f0c1560e88f6af4ccf15e2ff",
        "The machine was moved or its hardware replaced",
        "Identity was kept; the stamp follows.",
        "Nothing is to be done. If this is a copy after all: `nodeprep decide renew`.",
    ),
    Message(
        "held-back",
        "ac92905cbced4f6689bfd0c77afe4c53",
        "A copy of something enrolled elsewhere",
        "An agent, or another service, would run under the template's identity and take its place at its server. "
        "Where it has units they are held.",
        "See the detail: enrol it anew, or `nodeprep decide keep` if this is the machine itself.",
    ),
    Message(
        "in-use",
        "aed8506207fc42df8a4f90e3a238b594",
        "A service in use keeps the template's value",
        "It would be renewed by itself if its owner had never been used on this disk; what it holds could be lost.",
        "Change it by hand when its owner can be stopped; the change will be adopted.",
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
        "See the detail; `nft list ruleset` shows every rule but those of iptables-legacy.",
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
    *(Message(*blemish) for blemish in BLEMISHES),
    Message(
        "address-in-use",
        "eb2aa44c060b1825ba6dd9329f29a78e",
        "A machine without nodeprep has an address of this node",
        "It answers for the address by ARP or neighbour discovery, and is not known to the fleet. Packets go to either "
        "of the two. This node announces its address once in ten seconds at most (RFC 5227, 2.4) and renews nothing.",
        "Find the machine with the MAC in the detail, by the port on which the switch learns it (`bridge fdb show`, "
        "`show mac address-table`), and give one of the two another address.",
    ),
    Message(
        "mac-in-use",
        "b3b61b6c079985d34f418ecaa71e24b8",
        "A machine without nodeprep has a MAC of this node",
        "Frames with this node's own MAC as their source come from outside, and its own do not come back. Switches "
        "send what is for this node to either of the two.",
        "Find the second port on which the switch learns the MAC (`bridge fdb show`, `show mac address-table`), and "
        "give the machine behind it another MAC; or set one here and restart nodeprep.service.",
    ),
    Message(
        "no-fleet-key",
        "d0aef885ca0d4983a291b361d41ee852",
        "This node has no fleet key",
        "Peers are told from strangers by it. Without one nobody can be asked whether he presents the same, so a twin "
        "would not be found: nothing is renewed, and a node that is not ready yet is held.",
        "Take the fleet's: `ssh NODE cat /etc/nodeprep/fleet.key | nodeprep key rotate --add --from -`. In a template, "
        "or on the first node of a fleet, make one: `nodeprep key rotate --add`. The daemon takes it up by itself.",
    ),
    Message(
        "no-link",
        "214713ce9df446ad9ec8778e12e90289",
        "No link carries, so nobody could be asked",
        "Whether a twin is there is found out by asking on the links, and none of them has carrier. Silence would "
        "prove nothing: the node is held, and judged again as soon as a link carries.",
        "See to the cable, the switch port or the virtual NIC (`ip -br link`). Where the links that lead to the other "
        "nodes are others, name them in `peers.links` (nodeprep.toml(5)).",
    ),
    Message(
        "foreign-key",
        "263cafd58b6e44ada8c4cdf3160b1222",
        "Somebody speaks under another fleet key",
        "Frames of nodeprep come in that no fleet key of this node makes authentic: from another fleet or image, from "
        "a node that has changed its key, or forged. What they present cannot be compared, so a twin among them is "
        "not found. Nothing is changed because of them.",
        "Compare `nodeprep key show-id` on both. If they are to be one fleet, give both one key: "
        "`ssh NODE cat /etc/nodeprep/fleet.key | nodeprep key rotate --add --from -`, then "
        "`nodeprep key rotate` for what is next. If not, keep them on segments of their own.",
    ),
    Message(
        "echo",
        "c34058293b438933c7bd04cf3ff16f56",
        "This node's own frames come back to it",
        "The network has a loop or a port that reflects, or this machine was resumed from a snapshot of memory beside "
        "another one, so that both bear one nonce and neither takes the other for a twin.",
        "Look for the loop. If the machine was resumed from a snapshot beside its twin, boot one of the two again.",
    ),
    *map(Message._make, REGISTRY),
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
    return "# Made by `make generated` from nodeprep/messages.py.\n\n" + "\n".join(entries)
