"""Gateway: transactions of etcd, as its JSON gateway takes and answers them (etcd, "gRPC gateway", v3; 3.4 and later).

Keys and values travel as base64, 64-bit numbers as text, and what is false or zero not at all. A transaction is
atomic: either all conditions hold and `then` is done, or `otherwise` is.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

TXN = "/v3/kv/txn"
AUTHENTICATE = "/v3/auth/authenticate"
OPERATIONS_MAX = 128
"""Of one transaction; etcd's own default (--max-txn-ops)."""


@dataclass(frozen=True, slots=True)
class Absent:
    """There is no such key: its `create_revision` is 0."""

    key: str


@dataclass(frozen=True, slots=True)
class Says:
    """The key has this value."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The key was written last by this revision."""

    key: str
    revision: int


@dataclass(frozen=True, slots=True)
class Get:
    """Read a key."""

    key: str


@dataclass(frozen=True, slots=True)
class Put:
    """Write a key."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove a key."""

    key: str


Condition: TypeAlias = Absent | Says | Unchanged
Operation: TypeAlias = Get | Put | Delete


@dataclass(frozen=True, slots=True)
class Txn:
    """One transaction."""

    conditions: tuple[Condition, ...] = ()
    then: tuple[Operation, ...] = ()
    otherwise: tuple[Operation, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """A key as it was read."""

    value: str
    revision: int
    """By which it was written last."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a transaction: of each `Get` that was done, in their order, the entry or None."""

    succeeded: bool
    revision: int
    entries: tuple[Entry | None, ...] = ()


def encode(txn: Txn) -> dict[str, Any]:
    """Return the body of a request. Raises ValueError where it has more operations than etcd takes."""
    if max(map(len, (txn.conditions, txn.then, txn.otherwise))) > OPERATIONS_MAX:
        raise ValueError(f"a transaction has {OPERATIONS_MAX} operations at most")
    return {
        "compare": [_condition(condition) for condition in txn.conditions],
        "success": [_operation(operation) for operation in txn.then],
        "failure": [_operation(operation) for operation in txn.otherwise],
    }


def decode(document: Mapping[str, Any]) -> Answer:
    """Return what an answer says. Raises ValueError where it is none."""
    try:
        rows = document.get("responses", [])
        ranges = [row["response_range"] for row in rows if "response_range" in row]
        return Answer(
            document.get("succeeded", False) is True,
            int(document["header"]["revision"]),
            tuple(_entry(found["kvs"][0]) if found.get("kvs") else None for found in ranges),
        )
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"no answer to a transaction: {error!r}") from error


def _entry(row: Mapping[str, Any]) -> Entry:
    return Entry(b64decode(row.get("value", ""), validate=True).decode(), int(row["mod_revision"]))


def _condition(condition: Condition) -> dict[str, Any]:
    head = {"key": _text(condition.key), "result": "EQUAL"}
    match condition:
        case Absent():
            return head | {"target": "CREATE", "create_revision": "0"}
        case Says():
            return head | {"target": "VALUE", "value": _text(condition.value)}
        case Unchanged():
            return head | {"target": "MOD", "mod_revision": str(condition.revision)}


def _operation(operation: Operation) -> dict[str, Any]:
    key = {"key": _text(operation.key)}
    match operation:
        case Get():
            return {"request_range": key}
        case Put():
            return {"request_put": key | {"value": _text(operation.value)}}
        case Delete():
            return {"request_delete_range": key}


def _text(text: str) -> str:
    return b64encode(text.encode()).decode()
