"""Linting: what an image still has baked in that its clones would share. Reads only."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from nodeprep import config, fleetkey, run, stamp
from nodeprep.errors import NodeprepError
from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Lacking, Reading, Unreadable
from nodeprep.observe import joined, observe
from nodeprep.renewal import PATH as RENEWAL
from nodeprep.report import Problem

MACHINE_ID = "/etc/machine-id"
KEYFILES = ("/etc/NetworkManager/system-connections/*",)
NETPLAN = ("/etc/netplan/*.yaml", "/lib/netplan/*.yaml")
PROFILES = (
    *KEYFILES,
    *NETPLAN,
    "/etc/systemd/network/*.network",
    "/etc/systemd/network/*.link",
    "/etc/systemd/network/*.netdev",
    "/etc/network/interfaces",
    "/etc/network/interfaces.d/*",
)
MAC = re.compile(r"(?<![0-9a-f:-])([0-9a-f]{2}[:-]){5}[0-9a-f]{2}(?![0-9a-f:-])", re.IGNORECASE)
NAMES_A_MAC = re.compile(r"mac|hwaddress", re.IGNORECASE)
STATIC = re.compile(r"^\s*(address\d*|addresses|Address)\s*[=: ]\s*(?P<value>\S.*)$")
LISTED = re.compile(r"^\s*-\s*[\"']?(?P<value>[0-9a-fA-F.:]+/\d+)[\"']?")
CLOUD_CONFIG = ("/etc/cloud/cloud.cfg", "/etc/cloud/cloud.cfg.d/*.cfg")
CLOUD_SEEDS = ("/var/lib/cloud/seed/*/*",)
LASTING = ("luks-volumes", "boot-entries")
"""What nobody can take out of an image, and yet need not be in it."""

Lines = Iterator[tuple[str, str]]


def lint(artefacts: Iterable[Artefact], machine: MachineView) -> tuple[Problem, ...]:
    """Return what clones of this image would share, or stumble over; () where it is clean."""
    artefacts = tuple(artefacts)
    checks: tuple[Callable[[], Iterator[Problem]], ...] = (
        lambda: baked_in(artefacts, machine),
        lambda: mark(machine),
        lambda: fleet_key(machine),
        lambda: profiles(machine),
        lambda: cloud_init(machine),
    )
    found: list[Problem] = []
    for check in checks:
        try:
            found += check()
        except NodeprepError as error:
            found.append(Problem("unreadable", "", str(error)))
    return tuple(found)


def baked_in(artefacts: Iterable[Artefact], machine: MachineView) -> Iterator[Problem]:
    """Yield what each artefact still finds in the image, and the membership of a cluster."""
    artefacts = tuple(artefacts)
    members = joined(artefacts, machine)
    readings = observe(artefacts, machine)
    for artefact in artefacts:
        reading = readings[artefact.name]
        if artefact.name in members:
            shown = f": {run.show(artefact, reading)}" if isinstance(reading, frozenset) else ""
            yield Problem("joined-image", artefact.name, f"{artefact.title}{shown}")
        elif isinstance(reading, Unreadable):
            yield Problem("unreadable", artefact.name, f"{artefact.title}: {reading.reason}")
        elif not is_gone(artefact, reading, machine):
            remedy = "" if artefact.seal else artefact.remedy
            yield Problem("baked-in", artefact.name, f"{artefact.title}: {run.show(artefact, reading)}", remedy)


def is_gone(artefact: Artefact, reading: Reading, machine: MachineView) -> bool:
    """Whether nothing of an artefact is in the image, or what there is says nothing of the template."""
    if isinstance(reading, Lacking) or reading == frozenset():
        return True
    return not artefact.seal(machine) if artefact.seal else artefact.name not in LASTING


def mark(machine: MachineView) -> Iterator[Problem]:
    """Yield why the first boot from this image would not be taken for one, or was already."""
    text = machine.read_text(run.BAKED_OFFLINE)
    stamped = next((path for path in (stamp.PATH, stamp.PREVIOUS, RENEWAL) if machine.exists(path)), "")
    machine_id = machine.read_text(MACHINE_ID)
    has_lived = bool(stamped) or (machine_id or "").strip() not in ("", "uninitialized")
    if text is None:
        what = f"a machine has lived on it ({stamped})" if stamped else "the first boot would adopt what is there"
        yield Problem("not-sealed", "", f"never sealed, or booted since: {what}")
    elif text.startswith("sealing"):
        yield Problem("not-sealed", "", "sealing was cut off")
    elif text.startswith("sealed") and has_lived:
        yield Problem("not-sealed", "", f"booted after it was sealed ({text.strip()})")
    if machine_id is None or machine_id.strip() == "uninitialized":
        what = "is missing" if machine_id is None else "says uninitialized"
        remedy = f"Make it an empty file: `: > {MACHINE_ID}`."
        yield Problem("machine-id-file", "machine-id", f"{MACHINE_ID} {what}", remedy)


def fleet_key(machine: MachineView) -> Iterator[Problem]:
    """Yield that clones could not hear one another: each would be held."""
    if not fleetkey.fleet_keys(machine):
        yield Problem("no-fleet-key", fleetkey.PATH, "clones could not ask one another", "`nodeprep seal` makes one.")


def profiles(machine: MachineView) -> Iterator[Problem]:
    """Yield what the network's profiles tie to the template's hardware or place."""
    for path, line in _lines(machine, PROFILES):
        if MAC.search(line) and NAMES_A_MAC.search(line):
            yield Problem("mac-in-profile", path, line)
    try:
        reports = config.load(machine).address.on_conflict == "report"
    except NodeprepError as error:
        yield Problem("config", "", str(error))
        return
    for path, line in _lines(machine, PROFILES) if reports else ():
        if address := _static(path, line):
            yield Problem("static-address", path, address)


def _static(path: str, line: str) -> str:
    """Return the static address that a line sets, or ""."""
    found = STATIC.match(line) or (LISTED.match(line) if path.endswith(".yaml") else None)
    value = found["value"].strip("[]\"' ") if found else ""
    is_address = re.match(r"[0-9a-fA-F]*[.:][0-9a-fA-F.:]*", value) and not MAC.match(value)
    # netplan lists name servers without a prefix length.
    if not is_address or value.startswith(("127.", "::1")) or (path.endswith(".yaml") and "/" not in value):
        return ""
    return value


def cloud_init(machine: MachineView) -> Iterator[Problem]:
    """Yield what keeps cloud-init from taking a clone for a new instance."""
    texts = {path: machine.read_text(path) or "" for pattern in CLOUD_CONFIG for path in machine.glob(pattern)}
    chosen = ("", "")
    for path, text in texts.items():  # the last file that has it wins
        block = re.search(r"^datasource_list:[ \t]*((?:\[[^\]]*\])|(?:(?:\n[ \t]*-[^\n]*)+))", text, re.MULTILINE)
        chosen = (path, block[1]) if block else chosen
    names = re.findall(r"\w+", chosen[1])
    if names and set(names) == {"None"}:
        yield Problem("no-datasource", chosen[0], "datasource_list: [ None ]", f"Remove it: `rm {chosen[0]}`.")
    if seeds := [path for pattern in CLOUD_SEEDS for path in machine.glob(pattern)]:
        yield Problem("cloud-init-seed", seeds[0], "the instance ID that it names is every clone's")


def _lines(machine: MachineView, patterns: Iterable[str]) -> Lines:
    """Yield path and line of each line that is neither empty nor a comment."""
    for pattern in patterns:
        for path in machine.glob(pattern):
            for line in (machine.read_text(path) or "").splitlines():
                if (text := line.strip()) and not text.startswith(("#", ";")):
                    yield path, text
