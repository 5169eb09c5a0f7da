"""An etcd in memory: transactions as etcd has them, on a dict; it can be away, slow or lose its answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock

from nodeprep.errors import away
from nodeprep.registry.gateway import Absent, Answer, Condition, Delete, Entry, Get, Put, Says, Txn, Unchanged


@dataclass
class MemoryEtcd:
    """One etcd, which any number of machines may use as their door."""

    entries: dict[str, Entry] = field(default_factory=dict)
    revision: int = 1
    is_away: bool = False
    before: Callable[[Txn], None] | None = None
    """Called before each transaction, outside of it: what others do just then."""
    loses: Callable[[Txn], bool] | None = None
    """Whether the answer to a transaction that was carried out is lost."""
    member: str = "https://etcd.example:2379"
    _lock: Lock = field(default_factory=Lock)

    def commit(self, txn: Txn) -> Answer:
        if before := self.before:
            self.before = None
            before(txn)
        if self.is_away:
            raise away("nobody there")
        with self._lock:
            answer = self._commit(txn)
        if self.loses and self.loses(txn):
            raise away("no whole answer")
        return answer

    def hang_up(self) -> None:
        """Do nothing: there is no connection."""

    def close(self) -> None:
        """Do nothing: there is no connection."""

    def values(self, part: str) -> dict[str, str]:
        """Return key → value of all keys with that in them."""
        return {key: entry.value for key, entry in self.entries.items() if part in key}

    def _commit(self, txn: Txn) -> Answer:
        succeeded = all(map(self._holds, txn.conditions))
        operations = txn.then if succeeded else txn.otherwise
        if any(not isinstance(operation, Get) for operation in operations):
            self.revision += 1
        read = []
        for operation in operations:
            match operation:
                case Get(key):
                    read.append(self.entries.get(key))
                case Put(key, value):
                    self.entries[key] = Entry(value, self.revision)
                case Delete(key):
                    self.entries.pop(key, None)
        return Answer(succeeded, self.revision, tuple(read))

    def _holds(self, condition: Condition) -> bool:
        entry = self.entries.get(condition.key)
        match condition:
            case Absent():
                return entry is None
            case Says(_, value):
                return entry is not None and entry.value == value
            case Unchanged(_, revision):
                return entry is not None and entry.revision == revision
