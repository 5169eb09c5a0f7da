"""Roles: what a mapping of roles.d means, and what several roles need together."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import pytest

from nodeprep.errors import ConfigError
from nodeprep.model import Opening
from nodeprep.roles import Need, Role, openings, parse, select

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SHIPPED = Path(__file__).parents[2] / "config" / "roles.d"

MINIMAL: dict[str, Any] = {
    "title": "Dashboard",
    "opening": [{"ports": "8443", "protocol": "tcp", "purpose": "web", "from": "clients"}],
}


def role(name: str, *needs: tuple[str, int, int, str]) -> Role:
    """A role whose needs are (protocol, first port, last port, from)."""
    return Role(name, name, tuple(Need(p, first, last, f"{name}'s", (reached,)) for p, first, last, reached in needs))


@pytest.fixture(scope="module")
def shipped() -> dict[str, Role]:
    return {
        path.stem: parse(path.stem, tomllib.loads(path.read_text(encoding="utf-8")), str(path))
        for path in SHIPPED.glob("*.toml")
    }


def titles(found: tuple[Opening, ...]) -> list[str]:
    return [opening.title for opening in found]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("control-plane", ["2379/tcp", "2380/tcp", "6443/tcp", "10250/tcp"]),
        ("worker", ["10250/tcp", "10256/tcp", "30000-32767/tcp", "30000-32767/udp"]),
        ("etcd", ["2379/tcp", "2380/tcp"]),
    ],
)
def test_a_shipped_role_opens_what_kubernetes_documents(
    shipped: dict[str, Role], name: str, expected: list[str]
) -> None:
    assert titles(openings([shipped[name]], ())) == expected


def test_no_shipped_role_opens_what_belongs_to_loopback_or_is_obsolete(shipped: dict[str, Role]) -> None:
    for opening in openings(list(shipped.values()), ()):
        for port in (10248, 10249, 10251, 10252, 10255, 10257, 10259, 2381):
            assert not opening.first_port <= port <= opening.last_port, (opening.title, port)


def test_a_need_is_read_as_written_one_for_each_protocol() -> None:
    table = {"ports": "30000-32767", "protocol": ["tcp", "udp"], "purpose": "NodePort", "from": ["nodes", "clients"]}
    assert parse("own", {"title": "Own", "opening": [table]}, "own.toml") == Role(
        "own",
        "Own",
        tuple(Need(protocol, 30000, 32767, "NodePort", ("nodes", "clients")) for protocol in ("tcp", "udp")),
    )


def test_a_role_may_need_nothing() -> None:
    assert parse("storage", {"title": "Storage"}, "storage.toml").needs == ()


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("ports", "0", "opening[0].ports"),
        ("ports", "65536", "opening[0].ports"),
        ("ports", "20-10", "opening[0].ports"),
        ("ports", "6443,6444", "opening[0].ports"),
        ("ports", "-1", "opening[0].ports"),
        ("ports", " 6443", "opening[0].ports"),
        ("ports", "٣٣", "opening[0].ports"),
        ("ports", "", "opening[0].ports"),
        ("ports", 6443, "opening[0].ports"),
        ("ports", None, "opening[0].ports"),
        ("protocol", "sctp", "opening[0].protocol"),
        ("protocol", "TCP", "opening[0].protocol"),
        ("protocol", [], "opening[0].protocol"),
        ("protocol", ["tcp", 6], "opening[0].protocol"),
        ("protocol", {"tcp": True}, "opening[0].protocol"),
        ("from", "everyone", "opening[0].from"),
        ("from", [["nodes"]], "opening[0].from"),
        ("purpose", " ", "opening[0].purpose"),
        ("purpose", 'two\nlines"', "opening[0].purpose"),
        ("port", "6443", "opening[0].port"),
    ],
)
def test_a_value_outside_its_vocabulary_is_named_with_file_key_and_remedy(key: str, value: object, said: str) -> None:
    mapping = copy.deepcopy(MINIMAL)
    mapping["opening"][0][key] = value
    with pytest.raises(ConfigError) as caught:
        parse("own", mapping, "/etc/nodeprep/roles.d/own.toml")
    assert (caught.value.file, caught.value.key) == ("/etc/nodeprep/roles.d/own.toml", said)
    assert caught.value.remedy


@pytest.mark.parametrize("missing", ["ports", "protocol", "purpose", "from"])
def test_every_key_of_an_opening_is_asked_for(missing: str) -> None:
    mapping = copy.deepcopy(MINIMAL)
    del mapping["opening"][0][missing]
    with pytest.raises(ConfigError, match="is missing"):
        parse("own", mapping, "own.toml")


@pytest.mark.parametrize(
    ("mapping", "key"),
    [
        ({"opening": []}, "title"),
        ({"title": "x", "openings": []}, "openings"),
        ({"title": "x", "opening": {"ports": "1"}}, "opening"),
        ({"title": "x", "opening": ["6443"]}, "opening[0]"),
    ],
)
def test_a_file_of_another_shape_is_refused(mapping: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse("own", mapping, "own.toml")
    assert caught.value.key == key


@pytest.mark.parametrize("name", ["", "Worker", "a b", "-x", "x" * 32, "wörker", 'a"', "a\n"])
def test_a_name_that_a_firewall_could_not_carry_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot name a role"):
        parse(name, MINIMAL, "own.toml")


def test_roles_are_selected_once_each_in_the_order_asked_for(shipped: dict[str, Role]) -> None:
    chosen = select(["worker", "control-plane", "worker"], shipped, "nodeprep.toml")
    assert [each.name for each in chosen] == ["worker", "control-plane"]
    assert select([], shipped, "nodeprep.toml") == ()


def test_an_unknown_role_is_answered_with_those_that_are_known(shipped: dict[str, Role]) -> None:
    with pytest.raises(ConfigError) as caught:
        select(["wroker"], shipped, "/etc/nodeprep/nodeprep.toml")
    assert (caught.value.file, caught.value.key) == ("/etc/nodeprep/nodeprep.toml", "node.roles")
    assert "'wroker'" in caught.value.problem
    assert "did you mean 'worker'" in caught.value.remedy
    assert "control-plane, etcd, worker" in caught.value.remedy


def test_roles_that_share_an_opening_have_it_once_and_are_both_named(shipped: dict[str, Role]) -> None:
    together = openings([shipped["control-plane"], shipped["worker"], shipped["etcd"]], ())
    assert titles(together) == [
        "2379/tcp",
        "2380/tcp",
        "6443/tcp",
        "10250/tcp",
        "10256/tcp",
        "30000-32767/tcp",
        "30000-32767/udp",
    ]
    assert {opening.title: opening.role for opening in together}["10250/tcp"] == "control-plane, worker"
    assert {opening.title: opening.purpose for opening in together}["10250/tcp"] == "kubelet API"


def test_without_nodes_an_opening_is_for_anyone_whatever_clients_say(shipped: dict[str, Role]) -> None:
    every = list(shipped.values())
    assert {opening.sources for opening in openings(every, ())} == {()}
    assert {opening.sources for opening in openings(every, (), ("192.0.2.0/24",))} == {()}


def test_with_nodes_no_opening_is_wider_than_they_are(shipped: dict[str, Role]) -> None:
    found = openings(list(shipped.values()), ("fd00::/8", "10.1.0.0/16", "10.0.0.0/16"))
    assert {opening.sources for opening in found} == {("10.0.0.0/15", "fd00::/8")}


def test_clients_are_let_in_to_what_is_for_clients_and_to_nothing_else(shipped: dict[str, Role]) -> None:
    found = openings(list(shipped.values()), ("10.0.0.0/16",), ("192.0.2.0/24",))
    wider = [opening.title for opening in found if opening.sources == ("10.0.0.0/16", "192.0.2.0/24")]
    assert wider == ["6443/tcp", "10256/tcp", "30000-32767/tcp", "30000-32767/udp"]
    assert {opening.sources for opening in found if opening.title not in wider} == {("10.0.0.0/16",)}


def test_an_opening_that_two_roles_need_from_different_sources_is_open_to_both() -> None:
    one, other = role("one", ("tcp", 9000, 9000, "nodes")), role("other", ("tcp", 9000, 9000, "clients"))
    for order in ([one, other], [other, one]):
        (found,) = openings(order, ("10.0.0.0/16",), ("192.0.2.1/32", "10.0.3.0/24"))
        assert found.sources == ("10.0.0.0/16", "192.0.2.1/32")


def test_sources_that_cover_every_address_are_anyone() -> None:
    (found,) = openings([role("one", ("tcp", 1, 1, "clients"))], ("10.0.0.0/8",), ("0.0.0.0/0", "::/0"))
    assert found.sources == ()
    (found,) = openings([role("one", ("tcp", 1, 1, "clients"))], ("10.0.0.0/8",), ("0.0.0.0/0",))
    assert found.sources == ("0.0.0.0/0",)


def test_openings_are_sorted_by_port_and_then_by_protocol() -> None:
    found = openings(
        [role("one", ("udp", 53, 53, "nodes"), ("tcp", 9000, 9001, "nodes")), role("two", ("tcp", 53, 53, "nodes"))], ()
    )
    assert titles(found) == ["53/tcp", "53/udp", "9000-9001/tcp"]


@pytest.mark.parametrize(
    ("cidr", "remedy"), [("10.0.0.5/24", '"10.0.0.0/24"'), ("all", "10.0.0.0/16"), ("10.0.0.0/33", "prefix length")]
)
@pytest.mark.parametrize("key", ["nodes", "clients"])
def test_what_is_no_cidr_is_refused_with_what_to_write(cidr: str, remedy: str, key: str) -> None:
    given = {"nodes": ("10.0.0.0/8",), key: (cidr,)}
    with pytest.raises(ConfigError) as caught:
        openings((), **given)
    assert (caught.value.file, caught.value.key) == ("nodeprep.toml", f"cluster.{key}")
    assert remedy in caught.value.remedy
