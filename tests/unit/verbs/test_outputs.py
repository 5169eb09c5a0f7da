"""Every verb's output, as a person and as a program reads it: golden files, and the schemas that are shipped.

NODEPREP_GOLDEN=write python -m pytest tests/unit/verbs/test_outputs.py     # writes them anew; read the difference
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nodeprep import cli, doctor, fleetkey, preview, report, run
from nodeprep.apply import apply
from nodeprep.errors import HostError
from nodeprep.history import foresee
from nodeprep.host import attic, image, programs
from nodeprep.host.image import Image
from nodeprep.host.local import LocalMachine
from nodeprep.model import Decision, Opening, Origin, Verdict
from nodeprep.ports import Visible
from nodeprep.report import Problem
from nodeprep.verbs import VERBS, document
from nodeprep.verbs import adopt as adopt_verb
from nodeprep.verbs import apply as apply_verb
from nodeprep.verbs import decide as decide_verb
from nodeprep.verbs import key as key_verb
from nodeprep.verbs import ports as ports_verb
from nodeprep.verbs import release as release_verb
from nodeprep.verbs import report as report_verb
from nodeprep.verbs import restore as restore_verb
from nodeprep.verbs import seal as seal_verb
from tests.fakes import disk
from tests.unit import test_checkup, test_history
from tests.unit.verbs import test_peers

GOLDEN = Path(__file__).parents[1] / "golden/outputs"
SCHEMAS = Path(__file__).parents[3] / "packaging/schemas"
KEYS = "5e" * 32 + "\n" + "a7" * 32 + "\n"
NOW_S = test_peers.NOW_S
"""The clock of every output."""
NO_JSON = {"daemon"}


class Place:
    """A machine in a folder, to which every verb is led."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.monkeypatch = root, monkeypatch
        self.machine = LocalMachine("test", str(root))

    def says(self, **changes: Any) -> None:
        """Write a status document."""
        disk.put(self.root, document.STATUS_FILE, json.dumps(status(**changes)).encode())
        self.monkeypatch.setattr(document, "STATUS_FILE", str(self.root / document.STATUS_FILE[1:]))


def status(state: str = "ready", problems: tuple[Problem, ...] = (), **changes: Any) -> dict[str, Any]:
    decision = Decision(Origin.TWIN, "a live peer presents this machine's ID")
    rows = [
        ("machine-id", "machine ID", Verdict.OWN, "dec86d8c", ""),
        ("hostname", "hostname", Verdict.CONFLICT if problems else Verdict.OWN, "worker-792da7", ""),
        ("ssh-host-keys", "SSH host keys", Verdict.OWN, "34d47879", ""),
        ("docker-engine-id", "Docker's engine ID", Verdict.ABSENT, "-", ""),
        ("wireguard", "WireGuard keys", Verdict.INHERITED, "1a2b3c4d", "Make a new key pair"),
    ]
    made = report.document(
        state=state, version="0.1.0", boot_id="0f0e0d0c-0b0a-0908-0706-050403020100", roles=("worker", "calico"),
        hostname="worker-792da7", decision=decision,
        identity=[
            {"artefact": name, "title": title, "verdict": verdict.value, "value": value,
             "detail": "a live peer presents it" if verdict is Verdict.CONFLICT else "", "remedy": remedy}
            for name, title, verdict, value, remedy in rows
        ],
        changes=(("machine-id", "76aa783a", "dec86d8c"), ("hostname", "worker-7f8c62", "worker-792da7")),
        peers=test_peers.PEERS,
        openings=report.openings(
            (
                Opening("tcp", 10250, 10250, "kubelet API", "worker", ("10.77.0.0/24",), ("control-plane",)),
                Opening("tcp", 30000, 32767, "NodePort services", "worker", (), ("clients",)),
            ),
            "open", "nftables", (),
        ),
        registry=report.registry("off"), problems=problems,
        warnings=(Problem("held-back", "wireguard", "WireGuard keys: still the template's", "Make a new key pair"),),
    )  # fmt: skip
    return made | changes


HELD = (Problem("conflict", "hostname", "hostname worker-792da7: a live peer presents it"),)


def is_ready(place: Place) -> list[str]:
    place.says()
    return ["status"]


def is_held(place: Place) -> list[str]:
    place.says(state="held", problems=HELD)
    return ["status"]


def is_held_at_length(place: Place) -> list[str]:
    return [*is_held(place), "--long"]


def is_off(place: Place) -> list[str]:
    place.monkeypatch.setattr(document, "STATUS_FILE", str(place.root / "none"))
    place.monkeypatch.setattr(document, "DISABLED_FILE", str(place.root / "etc"))
    return ["status"]


def hears_peers(place: Place) -> list[str]:
    place.says()
    return ["peers"]


def is_examined(place: Place) -> list[str]:
    found = test_checkup.report(
        test_checkup.FREE, test_checkup.PARTLY, test_checkup.LOST, checks=(test_checkup.GOOD, test_checkup.DOUBTFUL)
    )

    async def examine(*_: object) -> object:
        return found

    place.monkeypatch.setattr("nodeprep.verbs.doctor.examine", examine)
    assert doctor.Request().peers == ()
    return ["doctor"]


def would_renew(place: Place) -> list[str]:
    needs_ports(place)
    disk.put(place.root, run.BAKED_OFFLINE, b"")
    return ["plan"]


def decides(place: Place) -> list[str]:
    place.monkeypatch.setattr(decide_verb, "LocalMachine", lambda name: place.machine)
    return ["decide", "keep"]


def needs_ports(place: Place) -> list[str]:
    for path in (Path(__file__).parents[3] / "config/roles.d").iterdir():
        disk.put(place.root, f"/usr/share/nodeprep/roles.d/{path.name}", path.read_bytes())
    disk.put(
        place.root, "/etc/nodeprep/nodeprep.toml", b'[cluster]\nnodes = ["10.77.0.0/24"]\nclients = ["0.0.0.0/0"]\n'
    )
    visible = Visible(str(place.root))
    place.monkeypatch.setattr(ports_verb, "Visible", lambda: visible)
    return ["ports", "--role", "control-plane"]


def is_checked(place: Place) -> list[str]:
    place.monkeypatch.setattr(seal_verb, "Image", lambda runs: Image(str(place.root)))
    place.monkeypatch.setattr(image, "runs", lambda: False)
    return ["seal", "--check"]


def would_seal(place: Place) -> list[str]:
    place.monkeypatch.setattr("secrets.token_hex", lambda size: "00" * size)
    return [*is_checked(place)[:1], "--dry-run"]


def shows_keys(place: Place) -> list[str]:
    disk.put(place.root, fleetkey.PATH, KEYS.encode(), 0o600)
    place.monkeypatch.setattr(key_verb, "LocalMachine", lambda name: place.machine)
    return ["key", "show-id"]


def rotates_keys(place: Place) -> list[str]:
    return [*shows_keys(place)[:1], "rotate"]


def has_a_history(place: Place) -> list[str]:
    put_a_run(place)
    place.monkeypatch.setattr(attic, "ATTIC", f"{place.root}{attic.ATTIC}")
    place.monkeypatch.setattr(attic, "size", lambda path: (4096, 6))  # a folder's own size is the file system's
    return ["history"]


def put_a_run(place: Place) -> None:
    test_history.a_disk(place.root)
    began = time.gmtime(0)
    place.monkeypatch.setattr("nodeprep.host.attic.time.gmtime", lambda: began)
    test_history.renew(place.root)


def brings_back(place: Place) -> list[str]:
    put_a_run(place)
    steps = foresee(test_history.RUN, ["ssh-host-keys"], place.machine)

    async def restore(*_: object) -> object:
        outcomes = apply(steps[0], LocalMachine(test_history.UNDO, str(place.root)))
        return outcomes, ("mac is left as it is: name it to bring it back",), test_history.UNDO

    place.monkeypatch.setattr(restore_verb, "restore", restore)
    return ["restore", test_history.RUN, "ssh-host-keys"]


def gives_up(place: Place) -> list[str]:
    async def free(*_: object) -> object:
        return release_verb.Freed(7, 3, "https://10.77.0.5:2379")

    place.monkeypatch.setattr(release_verb, "free", free)
    return ["release"]


def adopts(place: Place) -> list[str]:
    place.monkeypatch.setattr(adopt_verb, "view", preview.view)
    return ["adopt"]


def checks_config(place: Place) -> list[str]:
    needs_ports(place)
    return ["config", "check", f"--root={place.root}"]


def shows_config(place: Place) -> list[str]:
    needs_ports(place)
    return ["config", "show", f"--root={place.root}"]


def applies(place: Place) -> list[str]:
    for name in ("RESTART", "FORGET"):
        place.monkeypatch.setattr(apply_verb, name, ("true",))
    return [*is_held(place)[:-1], "apply"]


def reports(place: Place) -> list[str]:
    def tell(argv: tuple[str, ...], timeout_s: float) -> str:
        if argv[0] == "systemd-detect-virt":
            raise HostError("systemd-detect-virt: exit 1: none")
        return f"what {argv[0]} says of {place.machine.read_text('/etc/machine-id')}"

    has_a_history(place)
    would_renew(place)
    place.says(state="held", problems=HELD)
    place.monkeypatch.setattr(programs, "run", tell)
    place.monkeypatch.setattr(report_verb, "__version__", "1.2.3")
    place.monkeypatch.setattr("importlib.metadata.version", lambda name: f"of {name}")
    place.monkeypatch.setattr("sys.version", "3.13.5 (main)")
    return ["report"]


CASES: dict[str, tuple[str, Callable[[Place], list[str]]]] = {
    "status-ready": ("status", is_ready),
    "status-held": ("status", is_held),
    "status-held-long": ("status", is_held_at_length),
    "status-disabled": ("absent", is_off),
    "peers": ("peers", hears_peers),
    "doctor": ("doctor", is_examined),
    "plan": ("plan", would_renew),
    "decide": ("decide", decides),
    "ports": ("ports", needs_ports),
    "explain": ("explain", lambda place: ["explain", "conflict"]),
    "seal-check": ("seal", is_checked),
    "seal-dry-run": ("seal", would_seal),
    "key-show-id": ("key", shows_keys),
    "key-rotate": ("key", rotates_keys),
    "history": ("history", has_a_history),
    "restore": ("restore", brings_back),
    "release": ("release", gives_up),
    "adopt": ("adopt", adopts),
    "config-check": ("config", checks_config),
    "config-show": ("config", shows_config),
    "apply": ("status", applies),
    "report": ("report", reports),
}
"""Name of the golden files → name of the schema, and what leads the verb to a machine and returns what is typed."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Return a template's disk, as root sees it, where no unit runs and it is always the same second."""
    disk.make_template(tmp_path)
    made = Place(tmp_path, monkeypatch)

    async def view() -> LocalMachine:
        return made.machine

    monkeypatch.setattr(preview, "view", view)
    monkeypatch.setattr("nodeprep.verbs.plan.view", view)
    monkeypatch.setattr(programs, "active_units", lambda units: frozenset())
    monkeypatch.setattr(programs, "run", disk.Programs().run)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("time.time", lambda: float(NOW_S))
    monkeypatch.setenv("NODEPREP_SYSFS", str(tmp_path / "sys"))
    monkeypatch.setattr(document, "DISABLED_FILE", str(tmp_path / "none"))
    return made


def compare(path: Path, text: str) -> None:
    if os.environ.get("NODEPREP_GOLDEN") == "write":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert text == path.read_text(), f"{path.name}: NODEPREP_GOLDEN=write writes it anew"


@pytest.mark.parametrize("name", CASES)
def test_a_person_reads(name: str, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    words = CASES[name][1](place)
    cli.run(words)
    told = capsys.readouterr()
    assert told.err == ""
    compare(GOLDEN / f"{name}.txt", told.out.replace(str(place.root), "/ROOT"))


@pytest.mark.parametrize("name", CASES)
def test_a_program_reads(name: str, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    words = CASES[name][1](place)
    cli.run([*words, "--json"])
    told = json.loads(capsys.readouterr().out.replace(str(place.root), "/ROOT"))
    compare(GOLDEN / f"{name}.json", json.dumps(told, indent=1, sort_keys=True) + "\n")
    assert told["schema"] == 1


@pytest.mark.parametrize("name", CASES)
def test_the_schema_knows_every_field(name: str) -> None:
    validator = pytest.importorskip("jsonschema").Draft202012Validator
    schema = closed(json.loads((SCHEMAS / f"{CASES[name][0]}.json").read_text()))
    validator.check_schema(schema)
    validator(schema).validate(json.loads((GOLDEN / f"{name}.json").read_text()))


def closed(schema: Any) -> Any:
    """Return a schema that admits no field that it does not name, as the shipped one does: fields may be added."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: closed(each) for name, each in schema.items()}
    return {"additionalProperties": False, **made} if "properties" in made and made.get("type") == "object" else made


def test_every_verb_has_golden_files_and_every_schema_is_used() -> None:
    verbs = {name.partition("-")[0] for name in CASES}
    assert verbs | NO_JSON == set(VERBS)
    assert {path.stem for path in SCHEMAS.iterdir()} == {schema for schema, _ in CASES.values()}
    assert {path.stem for path in GOLDEN.iterdir()} == set(CASES)


def test_every_field_of_every_schema_is_described() -> None:
    def described(node: Any, path: str) -> list[str]:
        missing = []
        for name, each in node.get("properties", {}).items():
            missing += [f"{path}.{name}"] if not each.get("description") else []
            missing += described(each, f"{path}.{name}") + described(each.get("items", {}), f"{path}.{name}[]")
        return missing

    for path in SCHEMAS.iterdir():
        assert described(json.loads(path.read_text()), path.stem) == []
