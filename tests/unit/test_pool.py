"""Pools of addresses, and the order in which they are tried."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeprep.pool import CANDIDATES_MAX, POOL_LIMIT, Pool, candidates, parse_pool

NONE: frozenset[str] = frozenset()
OLD = "10.77.0.11/24"


def tried(*pools: str, old: str = OLD, excluded: frozenset[str] = NONE, salt: bytes = b"") -> list[str]:
    return list(candidates([parse_pool(pool) for pool in pools], old, excluded, salt))


@pytest.mark.parametrize(
    ("text", "first", "last", "size"),
    [
        ("10.0.0.1-10.0.0.9", "10.0.0.1", "10.0.0.9", 9),
        (" 10.0.0.1 - 10.0.0.1 ", "10.0.0.1", "10.0.0.1", 1),
        ("10.0.0.0/30", "10.0.0.1", "10.0.0.2", 2),
        ("10.0.0.0/31", "10.0.0.0", "10.0.0.1", 2),
        ("10.0.0.7", "10.0.0.7", "10.0.0.7", 1),
        ("fd00::1-fd00::ff", "fd00::1", "fd00::ff", 255),
        ("10.0.0.0-10.0.255.255", "10.0.0.0", "10.0.255.255", POOL_LIMIT),
    ],
)
def test_a_pool_is_read(text: str, first: str, last: str, size: int) -> None:
    pool = parse_pool(text)
    assert pool == Pool(ip_address(first), ip_address(last))
    assert len(pool) == size


@pytest.mark.parametrize(
    "text", ["", "-", "10.0.0.1-", "10.0.0.2-10.0.0.1", "10.0.0.1-fd00::1", "10.0.0.1/24", "fd00::/64", "0.0.0.0/0"]
)
def test_what_is_no_pool(text: str) -> None:
    with pytest.raises(ValueError, match=r"address|prefix|bits|more than|lower|network"):
        parse_pool(text)


def test_each_address_is_tried_once() -> None:
    assert sorted(tried("10.77.0.100-10.77.0.105")) == [f"10.77.0.{n}/24" for n in range(100, 106)]


def test_not_for_ever() -> None:
    assert len(tried("10.77.0.1-10.77.3.254", old="10.77.0.11/16")) == CANDIDATES_MAX


def test_addresses_of_another_network_would_not_be_reached() -> None:
    assert tried("10.78.0.1-10.78.0.9") == []
    assert set(tried("10.76.255.250-10.77.0.2")) <= {"10.77.0.1/24", "10.77.0.2/24"}


@pytest.mark.parametrize("pool", ["10.77.0.0-10.77.0.1", "10.77.0.254-10.77.0.255"])
def test_the_networks_own_address_and_broadcast_are_nobodys(pool: str) -> None:
    assert set(tried(pool)) <= {"10.77.0.1/24", "10.77.0.254/24"}


def test_a_link_between_two_has_neither() -> None:
    assert set(tried("10.77.0.10-10.77.0.11", old="10.77.0.10/31")) == {"10.77.0.10/31", "10.77.0.11/31"}


def test_the_families_do_not_mix() -> None:
    pools = ("10.77.0.5", "fd00::5-fd00::6")
    assert tried(*pools) == ["10.77.0.5/24"]
    assert sorted(tried(*pools, old="fd00::1/64")) == ["fd00::5/64", "fd00::6/64"]


def test_no_pool_no_candidate() -> None:
    assert tried() == []


def test_twins_start_in_different_places() -> None:
    starts = {tried("10.77.0.1-10.77.0.254", salt=bytes([salt]))[0] for salt in range(20)}
    assert len(starts) > 10


def test_twins_that_start_at_one_place_go_on_in_different_orders() -> None:
    orders = {tuple(tried("10.77.0.1-10.77.0.5", salt=bytes([salt]))) for salt in range(100)}
    assert len(orders) > 5, "more than one for each place to start"


def test_one_salt_one_order() -> None:
    assert tried("10.77.0.1-10.77.0.254", salt=b"x") == tried("10.77.0.1-10.77.0.254", salt=b"x")


@given(
    st.lists(st.tuples(st.integers(0, 299), st.integers(0, 20)), max_size=4),
    st.sets(st.integers(1, 254), max_size=30),
    st.binary(max_size=4),
)
def test_whatever_the_pools(ranges: list[tuple[int, int]], taken: set[int], salt: bytes) -> None:
    base = int(ip_address("10.77.0.0"))
    pools = [Pool(ip_address(base + first), ip_address(base + first + more)) for first, more in ranges]
    excluded = frozenset(f"10.77.0.{number}" for number in taken)
    found = list(candidates(pools, OLD, excluded, salt))
    assert len(found) <= CANDIDATES_MAX
    for text in found:
        interface = ip_interface(text)
        assert interface.network == ip_interface(OLD).network
        assert str(interface.ip) not in excluded
        assert any(int(pool.first) <= int(interface.ip) <= int(pool.last) for pool in pools)


@given(st.binary(max_size=4))
def test_a_free_one_is_found_however_few_are_left(salt: bytes) -> None:
    excluded = frozenset(f"10.77.0.{number}" for number in range(1, 255) if number != 77)
    assert tried("10.77.0.1-10.77.0.254", excluded=excluded, salt=salt) == ["10.77.0.77/24"]
