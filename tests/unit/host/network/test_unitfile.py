"""Files in systemd's syntax: what they say, and what an edit leaves alone."""

from __future__ import annotations

import pytest

from nodeprep.host.network.unitfile import edited, entries

TEXT = """\
# the operator's
[Match]
Name=eth0

[Network]
Address = 10.77.0.10/24
DNS=10.77.0.1 \\
; a comment within
  10.77.0.2
[Address]
Address=10.77.0.11/24
Label=eth0:vip
"""


def said(text: str) -> list[tuple[str, str, str]]:
    return [(entry.section, entry.key, entry.value) for entry in entries(text)]


def test_entries_are_told_with_their_sections() -> None:
    assert said(TEXT) == [
        ("Match", "Name", "eth0"),
        ("Network", "Address", "10.77.0.10/24"),
        ("Network", "DNS", "10.77.0.1 10.77.0.2"),
        ("Address", "Address", "10.77.0.11/24"),
        ("Address", "Label", "eth0:vip"),
    ]


def test_two_sections_of_one_name_are_two() -> None:
    first, second = entries("[Address]\nAddress=10.0.0.1\n[Address]\nAddress=10.0.0.2\n")
    assert (first.block, second.block) == (1, 2)


@pytest.mark.parametrize(
    "text", ["", "\n\n", "nonsense", "[Network", "=\x00\n", "[Network]\nAddress", "\\", "a=\\\n", "\ufffd[x]=y"]
)
def test_what_is_no_entry_is_passed_over(text: str) -> None:
    assert all(section == "" or value == "" for section, _, value in said(text))


def test_an_edit_leaves_everything_else_as_it_is() -> None:
    address = entries(TEXT)[1]
    assert edited(TEXT, {address: "10.77.0.61/24"}) == TEXT.replace("Address = 10.77.0.10/24", "Address=10.77.0.61/24")


def test_an_entry_over_several_lines_goes_whole() -> None:
    dns = entries(TEXT)[2]
    assert "10.77.0.2" not in edited(TEXT, {dns: None})
    assert "[Address]" in edited(TEXT, {dns: None})


def test_lines_are_added_to_their_section_or_with_it() -> None:
    assert "[Network]\nDHCP=ipv4\nAddress" in edited(TEXT, {}, {"Network": ("DHCP=ipv4",)})
    assert edited(TEXT, {}, {"Link": ("MACAddress=02:00:00:00:00:07",)}).endswith(
        "\n\n[Link]\nMACAddress=02:00:00:00:00:07\n"
    )
    assert edited("", {}, {"Link": ("MTUBytes=9000",)}) == "[Link]\nMTUBytes=9000\n"
