"""The configuration: every settled key, every error, and the layers above the file."""

from __future__ import annotations

import re
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodeprep import config, fleetkey
from nodeprep.cluster import MOVABLE, RANGES, Cluster
from nodeprep.config import DROP_INS, FILE, PLACEHOLDERS, Config, load
from nodeprep.endpoint import Endpoint
from nodeprep.errors import ConfigError
from nodeprep.host.local import LocalMachine
from nodeprep.naming import render_hostname
from nodeprep.pool import parse_pool
from nodeprep.values import CHOICES, NUMBERS
from tests.fakes.disk import put

HOSTNAME = re.compile(r"(?=.{1,63}\Z)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
"""RFC 1123, as Kubernetes and hostnamed take it."""
FOLDER = DROP_INS.rpartition("/")[0]
CREDENTIALS = "/run/credentials/@system"


@pytest.fixture
def machine(tmp_path: Path) -> LocalMachine:
    return LocalMachine("test", root=str(tmp_path))


def written(machine: LocalMachine, text: str, path: str = FILE) -> LocalMachine:
    put(Path(machine.real("")), path, text.encode())
    return machine


def refused(machine: LocalMachine) -> ConfigError:
    """Return the error that loading ends with, once it is seen to name everything."""
    with pytest.raises(ConfigError) as caught:
        load(machine)
    error = caught.value
    assert error.file
    assert error.key
    assert error.problem
    assert error.remedy
    assert str(error) == f"{error.file}: {error.key}: {error.problem}; {error.remedy}"
    return error


def test_no_file_is_the_defaults(machine: LocalMachine) -> None:
    assert load(machine) == Config()


def test_the_defaults_are_the_settled_ones() -> None:
    plain = Config()
    assert plain.node == config.Node(("worker",), "{role}-{id}")
    assert plain.identity == config.Identity("decide", "hold")
    assert plain.address == config.AddressPolicy("report", ())
    assert plain.mac == config.MacPolicy("renew")
    assert plain.peers == config.Peers((), ())
    assert plain.registry == config.Registry((), "/nodeprep/", "", "", "", "", "", 30)
    assert plain.firewall == config.Firewall("open", "auto")
    assert plain.cluster == Cluster((), (), (), (), (), (), "auto")
    assert set(astuple(plain.ports)) == {""}


SETTLED: dict[str, tuple[str, Any]] = {
    "node.roles": ('["control-plane", "worker"]', ("control-plane", "worker")),
    "node.hostname": ('"{role}-{mac}"', "{role}-{mac}"),
    "identity.on_hardware_change": ('"keep"', "keep"),
    "identity.joined_clone": ('"reset"', "reset"),
    "address.on_conflict": ('"dhcp"', "dhcp"),
    "address.pool": ('["10.77.0.100-10.77.0.199"]', (parse_pool("10.77.0.100-10.77.0.199"),)),
    "mac.on_conflict": ('"report"', "report"),
    "peers.links": ('["eth0"]', ("eth0",)),
    "peers.unicast": ('["10.1.2.3", "fd00::5"]', (Endpoint("10.1.2.3"), Endpoint("fd00::5"))),
    "peers.port": ("7000", 7000),
    "registry.etcd": ('["https://10.77.0.5:2379", "http://[fd00::5]"]', ("https://10.77.0.5:2379", "http://[fd00::5]")),
    "registry.prefix": ('"/fleets/east/"', "/fleets/east/"),
    "registry.ca": ('"/etc/ssl/etcd-ca.pem"', "/etc/ssl/etcd-ca.pem"),
    "registry.cert": ('"/etc/nodeprep/etcd.pem"', "/etc/nodeprep/etcd.pem"),
    "registry.key": ('"/etc/nodeprep/etcd.key"\ncert = "/etc/nodeprep/etcd.pem"', "/etc/nodeprep/etcd.key"),
    "registry.user": ('"nodes"\npassword_file = "/etc/nodeprep/etcd.password"', "nodes"),
    "registry.password_file": ('"/etc/nodeprep/etcd.password"\nuser = "nodes"', "/etc/nodeprep/etcd.password"),
    "registry.wait_s": ("0", 0),
    "firewall.mode": ('"enforce"', "enforce"),
    "firewall.backend": ('"nftables"', "nftables"),
    "cluster.nodes": ('["10.77.0.0/24"]', ("10.77.0.0/24",)),
    "cluster.clients": ('["192.0.2.0/24"]', ("192.0.2.0/24",)),
    "cluster.control_planes": ('["10.77.0.4/30"]', ("10.77.0.4/30",)),
    "cluster.load_balancers": ('["192.0.2.7"]', ("192.0.2.7/32",)),
    "cluster.pods": ('["10.42.0.0/16", "fd42::/48"]', ("10.42.0.0/16", "fd42::/48")),
    "cluster.metrics_from": ('["10.77.0.9/32"]', ("10.77.0.9/32",)),
    "cluster.cni": ('"calico"', "calico"),
    **{f"ports.{name}": ('"443"', "443") for name in MOVABLE},
    "attic.keep": ("3", 3),
}


@pytest.mark.parametrize("key", SETTLED)
def test_each_key_can_be_set(machine: LocalMachine, key: str) -> None:
    section, name = key.split(".")
    text, value = SETTLED[key]
    loaded = load(written(machine, f"[{section}]\n{name} = {text}\n"))
    assert getattr(getattr(loaded, section), name) == value
    assert loaded.origin(key) == FILE


def test_every_key_there_is_is_tried_above() -> None:
    plain = Config()
    keys = {
        f"{section.name}.{key.name}"
        for section in fields(plain)
        if section.name != "origins"
        for key in fields(getattr(plain, section.name))
    }
    assert keys == set(SETTLED)


@pytest.mark.parametrize(("key", "choice"), [(key, choice) for key in CHOICES for choice in CHOICES[key]])
def test_each_choice_can_be_taken(machine: LocalMachine, key: str, choice: str) -> None:
    section, name = key.split(".")
    pool = 'pool = ["10.0.0.1"]' if choice == "pool" else ""
    loaded = load(written(machine, f'[{section}]\n{name} = "{choice}"\n{pool}\n'))
    assert getattr(getattr(loaded, section), name) == choice


def test_links_may_be_auto(machine: LocalMachine) -> None:
    assert load(written(machine, '[peers]\nlinks = "auto"\n')).peers.links == ()


@pytest.mark.parametrize("name", MOVABLE)
def test_only_what_may_be_several_ports_is_moved_to_a_range(machine: LocalMachine, name: str) -> None:
    written(machine, f'[ports]\n{name} = "8000-8100"\n')
    if name in RANGES:
        assert getattr(load(machine).ports, name) == "8000-8100"
    else:
        assert refused(machine).key == f"ports.{name}"


@pytest.mark.parametrize(
    ("nodes", "control_planes", "fits"),
    [
        ('["10.77.0.0/24", "fd00::/64"]', '["10.77.0.4/32", "fd00::1"]', True),
        ("[]", '["10.77.0.4/32"]', True),
        ('["10.77.0.0/24"]', '["10.78.0.4/32"]', False),
        ('["10.77.0.0/24"]', '["10.77.0.0/16"]', False),
        ('["10.77.0.0/24"]', '["::/0"]', False),
    ],
)
def test_control_planes_are_nodes(machine: LocalMachine, nodes: str, control_planes: str, fits: bool) -> None:
    written(machine, f"[cluster]\nnodes = {nodes}\n")
    drop_in = f"{FOLDER}/50-more.toml"
    written(machine, f"[cluster]\ncontrol_planes = {control_planes}\n", drop_in)
    if fits:
        assert load(machine).cluster.control_planes
    else:
        error = refused(machine)
        assert (error.file, error.key) == (drop_in, "cluster.control_planes")


@pytest.mark.parametrize("key", SETTLED)
@pytest.mark.parametrize("value", ["5", "true", '"nonsense {"', "{ a = 1 }", "[1]", '[["a"]]', "1979-05-27"])
def test_each_key_refuses_what_is_not_its_own(machine: LocalMachine, key: str, value: str) -> None:
    section, name = key.split(".")
    if key in NUMBERS and value == "5":
        return
    error = refused(written(machine, f"[{section}]\n{name} = {value}\n"))
    assert (error.file, error.key) == (FILE, key)


@pytest.mark.parametrize(
    ("text", "key", "remedy"),
    [
        pytest.param("[nodes]\n", "nodes", "known are node, identity", id="no-such-section"),
        pytest.param("origins = 1\n", "origins", "known are", id="not-a-section-of-the-file"),
        pytest.param("node = 5\n", "node", "[node]", id="section-that-is-a-value"),
        pytest.param("[node]\nrole = 5\n", "node.role", "roles, hostname", id="no-such-key"),
        pytest.param("[node]\nroles = []\n", "node.roles", '["worker"]', id="no-role"),
        pytest.param('[node]\nhostname = "{name}"\n', "node.hostname", "{role}", id="no-such-placeholder"),
        pytest.param('[node]\nhostname = "{}"\n', "node.hostname", "{role}", id="empty-placeholder"),
        pytest.param('[node]\nhostname = "{role"\n', "node.hostname", "{role}", id="open-brace"),
        pytest.param('[node]\nhostname = "a_b"\n', "node.hostname", "{role}", id="underscore"),
        pytest.param('[node]\nhostname = "a\\n"\n', "node.hostname", "{role}", id="line-feed"),
        pytest.param('[node]\nhostname = " "\n', "node.hostname", "{role}", id="blank"),
        pytest.param('[address]\npool = ["10.0.0.9-10.0.0.1"]\n', "address.pool", "-", id="pool-backwards"),
        pytest.param('[address]\npool = ["10.0.0.1-fd00::1"]\n', "address.pool", "-", id="pool-of-two-families"),
        pytest.param('[address]\npool = ["10.0.0.0/8"]\n', "address.pool", "-", id="pool-too-large"),
        pytest.param('[address]\npool = ["10.0.0.5/24"]\n', "address.pool", "-", id="pool-with-host-bits"),
        pytest.param('[address]\non_conflict = "pool"\n', "address.pool", '"report"', id="pool-that-is-empty"),
        pytest.param('[cluster]\nnodes = ["10.0.0.5/24"]\n', "cluster.nodes", "/24", id="cidr-with-host-bits"),
        pytest.param('[registry]\netcd = ["etcd:2379"]\n', "registry.etcd", "https://", id="registry-without-a-scheme"),
        pytest.param('[registry]\netcd = ["https://a/v3"]\n', "registry.etcd", "https://", id="registry-with-a-path"),
        pytest.param('[registry]\netcd = ["https://u:p@a"]\n', "registry.etcd", "https://", id="registry-with-a-user"),
        pytest.param('[registry]\nprefix = "fleet"\n', "registry.prefix", '"/nodeprep/"', id="prefix-without-slashes"),
        pytest.param('[registry]\nca = "ca.pem"\n', "registry.ca", "from / on", id="path-that-starts-nowhere"),
        pytest.param("[registry]\nwait_s = -1\n", "registry.wait_s", "wait_s = 30", id="wait-that-is-over"),
        pytest.param('[registry]\nuser = "a"\n', "registry.password_file", "set both", id="user-without-a-password"),
        pytest.param('[registry]\nkey = "/k"\n', "registry.cert", "set both", id="key-without-a-certificate"),
        pytest.param('[peers]\nunicast = ["10.0.0.0/24"]\n', "peers.unicast", "10.1.2.3", id="network-for-an-address"),
        pytest.param('[peers]\nunicast = ["node-2"]\n', "peers.unicast", "10.1.2.3", id="name-for-an-address"),
        pytest.param("[peers]\nport = 65536\n", "peers.port", "port = 7877", id="no-port"),
        pytest.param("[node\n", "syntax", "correct the line", id="broken-header"),
        pytest.param("[node]\nroles = [\n", "syntax", "correct the line", id="torn"),
        pytest.param('[node]\nroles = ["a"]\nroles = ["b"]\n', "syntax", "correct the line", id="twice"),
        pytest.param(f"[node]\nroles = {'9' * 5000}\n", "syntax", "correct the line", id="number-too-long-to-read"),
        pytest.param(f"[node]\nroles = {'[' * 5000}\n", "syntax", "correct the line", id="too-deep-to-read"),
    ],
)
def test_an_error_names_file_key_and_remedy(machine: LocalMachine, text: str, key: str, remedy: str) -> None:
    error = refused(written(machine, text))
    assert (error.file, error.key) == (FILE, key)
    assert remedy in error.remedy


# Layers


def test_drop_ins_win_by_name_key_by_key(machine: LocalMachine) -> None:
    written(machine, '[node]\nroles = ["etcd"]\nhostname = "file"\n')
    written(machine, '[node]\nhostname = "first"\n[mac]\non_conflict = "report"\n', f"{FOLDER}/10-a.toml")
    written(machine, '[node]\nhostname = "second"\n', f"{FOLDER}/20-b.toml")
    written(machine, "not read: [", f"{FOLDER}/30-c.conf")
    loaded = load(machine)
    assert loaded.node == config.Node(("etcd",), "second")
    assert loaded.mac.on_conflict == "report"
    assert loaded.origin("node.hostname") == f"{FOLDER}/20-b.toml"
    assert loaded.origin("node.roles") == FILE
    assert loaded.origin("cluster.nodes") == FILE


def test_an_error_in_a_drop_in_names_the_drop_in(machine: LocalMachine) -> None:
    written(machine, "[node]\n")
    assert refused(written(machine, "[node]\nrole = 1\n", f"{FOLDER}/10-a.toml")).file == f"{FOLDER}/10-a.toml"


def test_an_empty_pool_names_the_file_that_wants_it(machine: LocalMachine) -> None:
    written(machine, "[node]\n")
    written(machine, '[address]\non_conflict = "pool"\n', f"{FOLDER}/10-a.toml")
    assert refused(machine).file == f"{FOLDER}/10-a.toml"


def test_credentials_win_over_every_file(machine: LocalMachine) -> None:
    written(machine, '[node]\nroles = ["etcd"]\nhostname = "file"\n[address]\non_conflict = "report"\n')
    written(machine, "control-plane, worker\n", f"{CREDENTIALS}/nodeprep.role")
    written(machine, "node-7\n", f"{CREDENTIALS}/nodeprep.hostname")
    written(machine, "10.77.0.7/24\n", f"{CREDENTIALS}/nodeprep.address")
    loaded = load(machine)
    assert loaded.node == config.Node(("control-plane", "worker"), "node-7")
    assert loaded.address == config.AddressPolicy("pool", (parse_pool("10.77.0.7"),))


@pytest.mark.parametrize(
    ("name", "text", "key"),
    [
        ("nodeprep.hostname", "not a name", "node.hostname"),
        ("nodeprep.hostname", "{nonsense}", "node.hostname"),
        ("nodeprep.address", "10.77.0.999", "address.pool"),
        ("nodeprep.role", " , ,", "node.roles"),
    ],
)
def test_a_credential_that_cannot_be_used_is_named(machine: LocalMachine, name: str, text: str, key: str) -> None:
    error = refused(written(machine, text, f"{CREDENTIALS}/{name}"))
    assert (error.file, error.key) == (f"credential {name}", key)


def test_an_empty_credential_was_not_passed(machine: LocalMachine) -> None:
    for name in ("role", "hostname", "address"):
        written(machine, "\n", f"{CREDENTIALS}/nodeprep.{name}")
    assert load(machine) == Config()


# The fleet key

KEY = "0123456789abcdef" * 2


def test_the_fleet_key_of_the_file(machine: LocalMachine) -> None:
    assert fleetkey.fleet_keys(written(machine, f"{KEY}\n", fleetkey.PATH)) == (bytes.fromhex(KEY),)


def test_two_fleet_keys_while_one_follows_the_other_the_spoken_one_first(machine: LocalMachine) -> None:
    written(machine, f"{'ab' * 32}\n\n{KEY}\n", fleetkey.PATH)
    assert fleetkey.fleet_keys(machine) == (bytes.fromhex("ab" * 32), bytes.fromhex(KEY))
    written(machine, f"{KEY}\n{KEY}\n", fleetkey.PATH)
    assert fleetkey.fleet_keys(machine) == (bytes.fromhex(KEY),), "twice the same is one"


def test_the_fleet_keys_of_the_hypervisor_win(machine: LocalMachine) -> None:
    written(machine, "00" * 32, fleetkey.PATH)
    passed = f"{CREDENTIALS}/nodeprep.fleet-key"
    assert fleetkey.fleet_keys(written(machine, KEY, passed)) == (bytes.fromhex(KEY),)
    assert len(fleetkey.fleet_keys(written(machine, f"{KEY} {'ab' * 16}", passed))) == 2


@pytest.mark.parametrize("text", [None, "", "\n \n"])
def test_no_fleet_key(machine: LocalMachine, text: str | None) -> None:
    if text is not None:
        written(machine, text, fleetkey.PATH)
    assert fleetkey.fleet_keys(machine) == ()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        *((text, "32 to 128 hex digits") for text in ("00" * 15, "00" * 65, "0" * 33, "zz" * 16, "00 " * 16)),
        (f"{KEY}\n{'ab' * 16}\n{'cd' * 16}\n", "3 keys"),
        ("\ufffd\x00", "32 to 128 hex digits"),
    ],
)
def test_a_file_that_has_no_fleet_key_names_itself_and_the_remedy(
    machine: LocalMachine, text: str, problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        fleetkey.fleet_keys(written(machine, text, fleetkey.PATH))
    assert (caught.value.file, caught.value.key) == (fleetkey.PATH, "fleet key")
    assert "of another node" in caught.value.remedy


def test_a_credential_that_is_no_fleet_key_is_named_itself(machine: LocalMachine) -> None:
    written(machine, KEY, fleetkey.PATH)
    with pytest.raises(ConfigError) as caught:
        fleetkey.fleet_keys(written(machine, "not hex", f"{CREDENTIALS}/nodeprep.fleet-key"))
    assert "nodeprep.fleet-key" in caught.value.file


@pytest.mark.parametrize("text", [f"{KEY}g", f"{KEY}\n{KEY}g\n", f"{KEY}\n{'ab' * 16}\n{'cd' * 16}\n"])
def test_a_fleet_key_never_stands_in_an_error(machine: LocalMachine, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        fleetkey.fleet_keys(written(machine, text, fleetkey.PATH))
    assert KEY not in str(caught.value)


# The hostname's template

TOLD = {"role": "worker", "id": "a1b2c3", "mac": "00aa01", "serial": "VMware-42", "index": "7"}


def rendered(template: str, told: dict[str, str] = TOLD) -> str:
    return render_hostname(Config(node=config.Node(hostname=template)), told)


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("{role}-{id}", "worker-a1b2c3"),
        ("{serial}", "vmware-42"),
        ("Node{index}.example.ORG", "node7.example.org"),
        ("-{index}-", "7"),
        ("{role}{role}", "workerworker"),
        ("{id}" * 20, "a1b2c3" * 10 + "a1b"),
    ],
)
def test_a_template_is_filled_in(template: str, name: str) -> None:
    assert rendered(template) == name


def test_what_no_hostname_has_becomes_a_dash() -> None:
    assert rendered("{serial}", TOLD | {"serial": "Ä b/c_d"}) == "b-c-d"


def test_cutting_a_long_name_leaves_no_dash_at_its_end() -> None:
    assert rendered("{serial}-x", TOLD | {"serial": "a" * 62}) == "a" * 62


@pytest.mark.parametrize("placeholder", PLACEHOLDERS)
@pytest.mark.parametrize("value", [None, ""])
def test_a_placeholder_that_cannot_be_told_here(placeholder: str, value: str | None) -> None:
    told = {key: text for key, text in TOLD.items() if key != placeholder} | ({placeholder: value} if value else {})
    with pytest.raises(ConfigError) as caught:
        rendered(f"a-{{{placeholder}}}", told)
    assert caught.value.key == "node.hostname"
    assert f"{{{placeholder}}}" in caught.value.problem
    assert "nodeprep.hostname" in caught.value.remedy


def test_a_template_that_gives_no_name() -> None:
    with pytest.raises(ConfigError, match="no hostname"):
        rendered("--.--")


def test_a_template_that_cannot_be_filled_in_names_the_file_that_set_it(machine: LocalMachine) -> None:
    loaded = load(written(machine, '[node]\nhostname = "{index}"\n', f"{FOLDER}/10-a.toml"))
    with pytest.raises(ConfigError) as caught:
        render_hostname(loaded, {})
    assert caught.value.file == f"{FOLDER}/10-a.toml"


def test_a_credential_that_cannot_be_filled_in_is_named(machine: LocalMachine) -> None:
    loaded = load(written(machine, "{index}", f"{CREDENTIALS}/nodeprep.hostname"))
    with pytest.raises(ConfigError) as caught:
        render_hostname(loaded, {})
    assert caught.value.file == "credential nodeprep.hostname"


TEMPLATES = st.lists(
    st.sampled_from([*("{" + name + "}" for name in PLACEHOLDERS), "a", "B", "-", ".", "0"]), min_size=1, max_size=12
).map("".join)


@given(TEMPLATES, st.fixed_dictionaries({name: st.text(min_size=1, max_size=30) for name in PLACEHOLDERS}))
def test_whatever_is_told_the_name_is_one_or_an_error(template: str, told: dict[str, str]) -> None:
    try:
        name = rendered(template, told)
    except ConfigError:
        return
    assert HOSTNAME.fullmatch(name), name


# Fuzz

WORDS = [
    *("[node]\n", "[identity]\n", "[address]\n", "[mac]\n", "[peers]\n", "[firewall]\n", "[cluster]\n", "[x]\n"),
    *(f"{key.partition('.')[2]} = {text}\n" for key, (text, _) in SETTLED.items()),
    *("pool = ", "nodes = ", "links = ", "[", "]", '"', "'''", "{", "}", "=", ",", ".", "\n", "#", "\\", "\0", "é"),
    *("true", "inf", "-1", "0x1F", "1e400", "07:32:00", '"10.0.0.1-10.0.0.9"', '"fe80::1%eth0"', '"::/0"', '""'),
]


def loading_ends_with(machine: LocalMachine) -> ConfigError | None:
    """Return the error that loading ends with, or None where there is a configuration that can be worked with."""
    try:
        loaded = load(machine)
    except ConfigError as error:
        return error
    assert loaded.node.roles
    assert loaded.node.hostname
    return None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.sampled_from(WORDS) | st.text(max_size=5), max_size=14).map("".join))
def test_any_text_loads_or_is_a_config_error(machine: LocalMachine, text: str) -> None:
    Path(machine.real(FILE)).parent.mkdir(parents=True, exist_ok=True)
    Path(machine.real(FILE)).write_bytes(text.encode("utf-8", errors="surrogatepass"))
    error = loading_ends_with(machine)
    assert error is None or (error.file == FILE and error.key and error.problem and error.remedy)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=40), st.sampled_from(["role", "hostname", "address"]))
def test_any_credential_loads_or_is_a_config_error(machine: LocalMachine, content: bytes, name: str) -> None:
    for other in ("role", "hostname", "address"):
        put(Path(machine.real("")), f"{CREDENTIALS}/nodeprep.{other}", content if other == name else b"")
    error = loading_ends_with(machine)
    assert error is None or error.file == f"credential nodeprep.{name}"


# Roles


def test_a_role_of_the_operator_beats_the_packages(machine: LocalMachine) -> None:
    shipped, own = config.ROLE_FOLDERS
    written(machine, 'title = "shipped"\n', f"{shipped}/worker.toml")
    written(machine, 'title = "shipped"\n', f"{shipped}/etcd.toml")
    written(machine, 'title = "own"\n', f"{own}/worker.toml")
    files = config.role_files(machine)
    assert files == {"etcd": f"{shipped}/etcd.toml", "worker": f"{own}/worker.toml"}
    assert config.role_table(machine, files["worker"]) == {"title": "own"}


def test_a_role_that_cannot_be_parsed_names_its_file(machine: LocalMachine) -> None:
    path = f"{config.ROLE_FOLDERS[1]}/worker.toml"
    with pytest.raises(ConfigError) as caught:
        config.role_table(written(machine, "title =", path), path)
    assert caught.value.file == path
