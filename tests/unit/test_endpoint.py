"""Endpoints: how they are written, and what no peer beyond a router can have."""

from __future__ import annotations

import pytest

from nodeprep.endpoint import Endpoint, is_private_to_a_host, parse_endpoint


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("10.1.2.3", Endpoint("10.1.2.3")),
        ("10.1.2.4:7000", Endpoint("10.1.2.4", 7000)),
        ("fd00::5", Endpoint("fd00::5")),
        ("FD00:0::5", Endpoint("fd00::5")),
        ("[fd00::5]", Endpoint("fd00::5")),
        ("[fd00::5]:65535", Endpoint("fd00::5", 65535)),
    ],
)
def test_what_is_an_endpoint(text: str, endpoint: Endpoint) -> None:
    assert parse_endpoint(text) == endpoint
    assert endpoint.version == (6 if ":" in endpoint.address else 4)


@pytest.mark.parametrize(
    "text",
    [
        "", "node-2", "node-2:7877", "10.1.2", "10.1.2.3:", "10.1.2.3:0", "10.1.2.3:65536", "10.1.2.3:７",
        "10.1.2.3:-1", "[fd00::5", "[fd00::5]7877", "[fd00::5]:", "[10.1.2.3", "fd00::5:70000",
        "0.0.0.0", "::", "127.0.0.1", "::1", "224.0.0.251", "ff02::fb", "169.254.1.1", "fe80::1", "255.255.255.255",
        "::ffff:10.1.2.3", "10.1.2.0/24",
    ],
)  # fmt: skip
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"is|write"):
        parse_endpoint(text)


def test_the_guests_address_behind_a_hypervisors_nat_is_nobodys_own() -> None:
    assert is_private_to_a_host("10.0.2.15")
    assert not is_private_to_a_host("10.0.3.15")
    assert not is_private_to_a_host("fd00::2")
