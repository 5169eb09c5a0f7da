"""A plan's actions, as a person reads them."""

from __future__ import annotations

import typing

import pytest

from nodeprep.model import Opening
from nodeprep.steps import (
    Action,
    ApplyOpenings,
    Reboot,
    ReplaceSecret,
    ReplaceText,
    RunProgram,
    SetAside,
    SetProfile,
    WriteFile,
)
from nodeprep.wording import line

API = Opening("tcp", 6443, 6443, "API server", "control-plane")


@pytest.mark.parametrize(
    ("action", "said"),
    [
        (WriteFile("/etc/machine-id", b"secret", 0o444), "write file /etc/machine-id, mode 0444"),
        (SetAside("/var/lib/dhcp/*.lease"), "set aside /var/lib/dhcp/*.lease"),
        (RunProgram(("ssh-keygen", "-A"), 5.0), "run program ssh-keygen -A"),
        (ReplaceText("/etc/hosts", "a", ""), 'replace text /etc/hosts, old a, new ""'),
        (ReplaceSecret("/etc/keys", "a", "b"), "replace secret /etc/keys"),
        (SetProfile("u1", "eth0", ipv4_addresses=()), "set profile u1, link eth0, ipv4 addresses none"),
        (ApplyOpenings((API, API), "open", "auto"), "apply openings 6443/tcp 6443/tcp, mode open, backend auto"),
        (Reboot("it holds the old identity"), "reboot it holds the old identity"),
    ],
)
def test_it_names_what_is_done_and_to_what(action: Action, said: str) -> None:
    assert line(action) == said


def test_a_machine_that_is_told_of_is_told_without_its_secrets() -> None:
    for kind in typing.get_args(Action):
        for field in kind.__dataclass_fields__.values():
            assert field.repr or field.name in ("content", "old", "new"), f"{kind.__name__}.{field.name}"
