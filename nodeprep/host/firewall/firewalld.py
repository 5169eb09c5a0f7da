"""firewalld: openings as services of our own, in the zones of the machine's links (firewalld.dbus(5)).

They are made in the permanent configuration and at run time. It is never reloaded for that: a reload loses what others
have added at run time only, and flushes the rules of kube-proxy. As it learns of a new service only when it loads its
configuration, until then the same openings are rich rules that bear the service's name, as the prefix of an NFLOG group
to which nobody listens.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from nodeprep.errors import HostError
from nodeprep.host.bus import Bus, Variant
from nodeprep.host.firewall.ruleset import numbers
from nodeprep.host.firewall.services import PREFIX, Service, services
from nodeprep.model import Opening

FIREWALLD = "org.fedoraproject.FirewallD1"
PATH = "/org/fedoraproject/FirewallD1"
ZONE = f"{FIREWALLD}.zone"
CONFIG = f"{FIREWALLD}.config"
CONFIG_PATH = f"{PATH}/config"
NFLOG_GROUP = 10250

_OURS = re.compile(rf'(?:service name|prefix)="{PREFIX}')

Settings = Mapping[str, Any]
Wait = Callable[[Coroutine[Any, Any, Any]], Any]


@dataclass(frozen=True, slots=True)
class Call:
    """A call of one of its methods. The path is an object's, or the name of one, as in "service nodeprep-worker"."""

    path: str
    interface: str
    member: str
    signature: str = ""
    body: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """A call, and the one that undoes it."""

    call: Call
    undo: Call


class Firewalld:
    """The backend. `wait` runs a coroutine in the event loop of the bus; `links` names the links of the machine."""

    name = "firewalld"
    owned = re.compile(r"table \w+ firewalld ")

    def __init__(self, bus: Bus, wait: Wait, links: Callable[[], Sequence[str]]) -> None:
        self._bus = bus
        self._wait = wait
        self._links = links
        self._looked: frozenset[str] | None = None

    def active(self) -> bool:
        """Say whether it runs. Raises HostError."""
        return bool(self._wait(self._bus.has_owner(FIREWALLD)))

    def present(self, openings: Iterable[Opening], _mode: str, _ssh_ports: tuple[int, ...]) -> bool:
        """Say whether it has what `apply` would make, permanently and at run time. Raises HostError."""
        return not self._wait(self._changes(services(openings)))

    def apply(self, openings: Iterable[Opening], _mode: str, _ssh_ports: tuple[int, ...]) -> None:
        """Make services of ours of these openings, in place of those that there were.

        In mode "enforce" too nothing is refused but what the zones refuse. Raises HostError with firewalld's own words,
        and then has put back what was there.
        """
        self._wait(self._carry_out(services(openings)))

    def remove(self) -> None:
        """Take our services away, if there are any. Of one that does not run nothing is in force. Raises HostError."""
        if self.active():
            self._wait(self._carry_out(()))

    def remarks(self, _openings: Iterable[Opening], mode: str) -> tuple[str, ...]:
        """Return what an operator should know of the zones beside these openings. Raises HostError."""
        told: list[str] = self._wait(self._remarks(mode))
        return tuple(told)

    async def _remarks(self, mode: str) -> list[str]:
        told = []
        ours = await self._zones()
        active = (await self._call(Call(PATH, ZONE, "getActiveZones")))[0]
        for zone in sorted({*active, *ours}):
            settings = await self._runtime(zone)
            target, sources = settings.get("target", "default"), ", ".join(settings.get("sources", ()))
            if mode == "enforce" and target == "ACCEPT" and zone in ours:
                told.append(f"mode enforce closes nothing: firewalld's zone {zone} accepts by its target")
            elif sources and zone not in ours and target not in ("ACCEPT", "DROP"):
                told.append(f"what comes from {sources} is firewalld's zone {zone}, in which nothing is opened")
        return told

    # What there is

    async def _zones(self) -> frozenset[str]:
        """Return the zones that the machine's links are in; the default zone has all that was put into none."""
        (default,) = await self._call(Call(PATH, FIREWALLD, "getDefaultZone"))
        found = [(await self._call(Call(PATH, ZONE, "getZoneOfInterface", "s", (link,))))[0] for link in self._links()]
        return frozenset(zone or default for zone in found or [default])

    async def _runtime(self, zone: str) -> Settings:
        settings: Settings = (await self._call(Call(PATH, ZONE, "getZoneSettings2", "s", (zone,))))[0]
        return settings

    async def _permanent(self, kind: str, name: str) -> Settings:
        call = Call(f"{kind} {name}", f"{CONFIG}.{kind}", "getSettings2")
        settings: Settings = (await self._call(call))[0]
        return settings

    async def _changes(self, wanted: Sequence[Service]) -> list[Change]:
        """Return what is to be changed, in an order in which nothing that stays open is closed in between."""
        zones = await self._zones() if wanted else frozenset()
        (known,) = await self._call(Call(CONFIG_PATH, CONFIG, "getServiceNames"))
        had = {name: await self._permanent("service", name) for name in known if name.startswith(PREFIX)}
        defined = [_define(service, had.get(service.name)) for service in wanted]
        needless = [_undefine(name, settings) for name, settings in had.items() if name not in _names(wanted)]

        (loaded,) = await self._call(Call(PATH, FIREWALLD, "listServices"))
        current = [each for each in wanted if each.name in loaded and _alike(await self._loaded(each.name), each)]
        more, less = [], []
        for zone in await self._zones_to_look_at(zones):
            runtime = _Zone(zone, await self._runtime(zone), permanent=False)
            permanent = _Zone(zone, await self._permanent("zone", zone), permanent=True)
            for held, whole in ((runtime, current), (permanent, list(wanted))):
                services_here, rules_here = set[str](), set[str]()
                for service in wanted if zone in zones else ():
                    if service not in whole:
                        rules_here.update(_rules(service))
                    elif service.sources:
                        rules_here.update(_narrowed(service))
                    else:
                        services_here.add(service.name)
                more += [held.add("Service", each) for each in sorted(services_here - held.services)]
                more += [held.add("RichRule", each) for each in sorted(rules_here - held.rules)]
                less += [held.remove("Service", each) for each in sorted(held.services - services_here)]
                less += [held.remove("RichRule", each) for each in sorted(held.rules - rules_here)]
        return [*(each for each in defined if each), *more, *less, *needless]

    async def _zones_to_look_at(self, zones: frozenset[str]) -> list[str]:
        """Return the zones that may hold something of ours: once all of them, then those that do or are to."""
        (at_run_time,) = await self._call(Call(PATH, ZONE, "getZones"))
        (known,) = await self._call(Call(CONFIG_PATH, CONFIG, "getZoneNames"))
        both = set(at_run_time) & set(known)
        found = sorted(both if self._looked is None else both & (self._looked | zones))
        self._looked = frozenset(zones | (self._looked or zones))
        return found

    async def _loaded(self, name: str) -> Settings:
        settings: Settings = (await self._call(Call(PATH, FIREWALLD, "getServiceSettings2", "s", (name,))))[0]
        return settings

    # What is made

    async def _carry_out(self, wanted: Sequence[Service]) -> None:
        self._looked = None
        done: list[Change] = []
        try:
            for change in await self._changes(wanted):
                await self._call(change.call)
                done.append(change)
        except HostError:
            for change in reversed(done):
                with suppress(HostError):
                    await self._call(change.undo)
            raise

    async def _call(self, call: Call) -> list[Any]:
        path = call.path
        if not path.startswith("/"):
            kind, _, name = path.partition(" ")
            (path,) = await self._call(Call(CONFIG_PATH, CONFIG, f"get{kind.capitalize()}ByName", "s", (name,)))
        return await self._bus.call(
            FIREWALLD, path, call.interface, call.member, call.signature, call.body, start=False
        )


class _Zone:
    """What of ours a zone has, permanently or at run time, and the changes of it."""

    def __init__(self, name: str, settings: Settings, *, permanent: bool) -> None:
        self._name = name
        self._permanent = permanent
        self.services = {each for each in settings.get("services", ()) if each.startswith(PREFIX)}
        self.rules = {each for each in settings.get("rules_str", ()) if _OURS.search(each)}

    def add(self, kind: str, item: str) -> Change:
        """Return the change that adds a service or a rich rule."""
        return Change(self._call(f"add{kind}", item), self._call(f"remove{kind}", item))

    def remove(self, kind: str, item: str) -> Change:
        """Return the change that removes one."""
        return Change(self._call(f"remove{kind}", item), self._call(f"add{kind}", item))

    def _call(self, member: str, item: str) -> Call:
        if self._permanent:
            return Call(f"zone {self._name}", f"{CONFIG}.zone", member, "s", (item,))
        if member.startswith("add"):
            return Call(PATH, ZONE, member, "ssi", (self._name, item, 0))  # for ever, as far as run time goes
        return Call(PATH, ZONE, member, "ss", (self._name, item))


def _names(wanted: Iterable[Service]) -> frozenset[str]:
    return frozenset(service.name for service in wanted)


def _ports(service: Service) -> list[list[str]]:
    return sorted([each.ports, each.protocol] for each in service.openings if each.ports)


def _protocols(service: Service) -> list[str]:
    portless = (each for each in service.openings if not each.ports)
    return sorted({str(number) for each in portless for number in numbers(each.protocol)})


def _alike(settings: Settings, service: Service) -> bool:
    """Whether a service that firewalld knows is what it should be; its description does not count."""
    rest = ("modules", "destination", "source_ports", "includes", "helpers")
    ports = sorted(list(port) for port in settings.get("ports", ()))
    protocols = sorted(settings.get("protocols", ()))
    return (ports, protocols) == (_ports(service), _protocols(service)) and not any(settings.get(key) for key in rest)


def _define(service: Service, former: Settings | None) -> Change | None:
    """Return the change that defines a service, None where it is defined so."""
    if former is not None and _alike(former, service):
        return None
    settings = {
        "short": Variant("s", service.name),
        "description": Variant("s", service.purpose),
        "ports": Variant("a(ss)", _ports(service)),
        "protocols": Variant("as", _protocols(service)),
    }
    object_name, interface = f"service {service.name}", f"{CONFIG}.service"
    if former is None:
        made = Call(CONFIG_PATH, CONFIG, "addService2", "sa{sv}", (service.name, settings))
        return Change(made, Call(object_name, interface, "remove"))
    empty = {
        "modules": Variant("as", []),
        "destination": Variant("a{ss}", {}),
        "source_ports": Variant("a(ss)", []),
        "includes": Variant("as", []),
        "helpers": Variant("as", []),
    }
    return Change(
        Call(object_name, interface, "update2", "a{sv}", ({**settings, **empty},)),
        Call(object_name, interface, "update2", "a{sv}", (_sent(former),)),
    )


def _undefine(name: str, former: Settings) -> Change:
    return Change(
        Call(f"service {name}", f"{CONFIG}.service", "remove"),
        Call(CONFIG_PATH, CONFIG, "addService2", "sa{sv}", (name, _sent(former))),
    )


def _sent(settings: Settings) -> dict[str, Variant]:
    """Return settings of a service of ours as they are sent."""
    kinds = {"short": "s", "description": "s", "ports": "a(ss)", "protocols": "as"}
    return {key: Variant(kinds[key], settings[key]) for key in kinds if key in settings}


def _heads(service: Service) -> list[str]:
    """Return how the rich rules of a service begin: one for each of its sources."""
    families = {4: "ipv4", 6: "ipv6"}
    narrowed = [f'rule family="{families[each.version]}" source address="{each}"' for each in service.sources]
    return narrowed or ["rule"]


def _narrowed(service: Service) -> list[str]:
    return [f'{head} service name="{service.name}" accept' for head in _heads(service)]


def _rules(service: Service) -> list[str]:
    """Return a service as rich rules, as firewalld(5) lists them, each bearing its name."""
    items = [f'port port="{port}" protocol="{protocol}"' for port, protocol in _ports(service)]
    items += [f'protocol value="{protocol}"' for protocol in _protocols(service)]
    tail = f'nflog group="{NFLOG_GROUP}" prefix="{service.name}" accept'
    return [f"{head} {item} {tail}" for head in _heads(service) for item in items]
