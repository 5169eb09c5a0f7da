"""A firewalld in memory, as far as the calls that we make change it: what is permanent, what is loaded, and zones."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from nodeprep.errors import HostError
from nodeprep.host.bus import plain

CHANGES = ("add", "remove", "update")


class FakeFirewalld:
    """Answers calls as firewalld.dbus(5) says; the `fails_at`-th change from now is refused."""

    def __init__(self) -> None:
        self.permanent: dict[str, Any] = {"services": {"ssh": {}}, "zones": {"public": _zone(), "home": _zone()}}
        self.loaded = copy.deepcopy(self.permanent)
        self.fails_at = 0

    def reload(self) -> None:
        """Load the permanent configuration."""
        self.loaded = copy.deepcopy(self.permanent)

    def state(self) -> dict[str, Any]:
        """Return all that there is."""
        return copy.deepcopy({"permanent": self.permanent, "loaded": self.loaded})

    async def has_owner(self, _name: str) -> bool:
        return True

    async def call(
        self, _service: str, path: str, _interface: str, member: str, _signature: str, body: Sequence[Any], **_how: Any
    ) -> list[Any]:
        kind, _, name = path.lstrip("/").partition(":")
        if member.startswith(CHANGES):
            self._change(kind, name, member, body)
            return []
        match member:
            case "getDefaultZone":
                return ["public"]
            case "getZoneOfInterface":
                return [""]
            case "getZones" | "getZoneNames":
                return [list(self.permanent["zones"])]
            case "getServiceNames":
                return [list(self.permanent["services"])]
            case "listServices":
                return [list(self.loaded["services"])]
            case "getSettings2":
                return [self.permanent[kind][name]]
            case "getServiceSettings2":
                return [self.loaded["services"][body[0]]]
            case "getZoneSettings2":
                return [self.loaded["zones"][body[0]]]
            case _:
                return [self._path(member, body[0])]

    def _path(self, member: str, name: str) -> str:
        kinds = {"getServiceByName": "services", "getZoneByName": "zones"}
        if name not in self.permanent[kinds[member]]:
            raise HostError(f"firewalld: there is no {name}")
        return f"/{kinds[member]}:{name}"

    def _change(self, kind: str, name: str, member: str, body: Sequence[Any]) -> None:
        if self.fails_at:
            self.fails_at -= 1
            if not self.fails_at:
                raise HostError("firewalld: no")
        if member == "addService2":
            self.permanent["services"][body[0]] = plain(body[1])
        elif member == "update2":
            self.permanent["services"][name] = {key: value for key, value in plain(body[0]).items() if value}
        elif member == "remove":
            del self.permanent["services"][name]
        else:
            at = self.permanent if kind == "zones" else self.loaded
            zone, item = (name, body[0]) if kind == "zones" else (body[0], body[1])
            if member.endswith("Service") and item not in at["services"]:
                raise HostError(f"firewalld: INVALID_SERVICE: {item}")
            held = at["zones"][zone]["services" if member.endswith("Service") else "rules_str"]
            held.append(item) if member.startswith("add") else held.remove(item)


def _zone() -> dict[str, Any]:
    return {"target": "default", "services": ["ssh"], "rules_str": ['rule port port="80" protocol="tcp" accept']}
