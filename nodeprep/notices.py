"""Notices: what `messages.py` says of the registry, row by row: code, MESSAGE_ID, title, diagnosis, remedy."""

from __future__ import annotations

REGISTRY: tuple[tuple[str, str, str, str, str], ...] = (
    (
        "claimed",
        "e8e23831e5724b4d8fa9efff3b13174a",
        "Another machine has claimed the same in the registry",
        (
            "The fleet's registry has the claim of a machine with another identity: one that runs in another "
            "segment, or one that is gone and never gave it up."
        ),
        (
            "If that machine is gone, free its name on any node with `nodeprep release NAME`; if this node is "
            "it, made anew, `nodeprep decide keep`. Otherwise rename one of the two, or let nodeprep renew the "
            "address: see `address.on_conflict` in nodeprep.toml."
        ),
    ),
    (
        "registry-copy",
        "c66b26895a6a4b848190fab1a6c8e538",
        "Another copy of this machine holds its claims",
        (
            "Since this disk last ran, a copy of it has spoken for its claims in the registry, and does not "
            "answer now. This may be a twin, or the machine itself, brought back from a backup: nobody but you "
            "can tell."
        ),
        "If this is the machine itself: `nodeprep decide keep`. If it is a copy: `nodeprep decide renew`.",
    ),
    (
        "registry-away",
        "fef4b5f2a05b453cb6001de6c9994920",
        "The registry does not answer",
        (
            "Without it nobody can tell whether another segment has a machine with this identity. It is asked "
            "again and again; a node that was ready stays so."
        ),
        (
            "See the detail: is etcd up, has it a leader, and can this node reach it? `registry.etcd` in "
            "nodeprep.toml names its members."
        ),
    ),
    (
        "registry-refused",
        "bb1cfec8b8004110ba012eeff7712939",
        "The registry refuses",
        (
            "Certificates, the user, its permissions or the address are not what etcd wants, or the answer is "
            "not etcd's. Nothing was claimed or changed."
        ),
        (
            "See the detail; correct [registry] in nodeprep.toml, or the user's role in etcd, then `systemctl "
            "restart nodeprep.service`."
        ),
    ),
    (
        "released",
        "2da80815347c48d3a29e668f507e678c",
        "What this machine had claimed was given up",
        "`nodeprep release` has freed its claims in the registry. Another machine may take them from now on.",
        "Power it off; or boot it again, and it claims anew.",
    ),
    (
        "no-number",
        "f03715456d174dbbbc621537c8872806",
        "No number is free for the hostname",
        "All numbers that {index} of `node.hostname` could stand for are taken, or were drawn by others each time.",
        "Free those of machines that are gone (`nodeprep release NAME`), or pass the credential nodeprep.index.",
    ),
)
