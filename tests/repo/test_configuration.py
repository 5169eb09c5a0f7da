"""The installed configuration: every key, commented, at its default."""

import itertools
import re

try:
    import tomllib
except ImportError:  # Python 3.10
    import tomli as tomllib

from nodeprep.cluster import MOVABLE
from tests.repo.sources import ROOT

INSTALLED = (ROOT / "config/nodeprep.toml").read_text()
# "#key" is a setting, "# text" is prose.
UNCOMMENTED = re.sub(r"(?m)^#(?! |$)", "", INSTALLED)

KEYS = {
    "node": {"roles", "hostname"},
    "identity": {"on_hardware_change", "joined_clone"},
    "address": {"on_conflict", "pool"},
    "mac": {"on_conflict"},
    "peers": {"links", "unicast", "port"},
    "registry": {"etcd", "prefix", "ca", "cert", "key", "user", "password_file", "wait_s"},
    "firewall": {"mode", "backend"},
    "cluster": {"nodes", "clients", "control_planes", "load_balancers", "pods", "metrics_from", "cni"},
    "ports": set(MOVABLE),
    "attic": {"keep"},
}


def test_as_installed_it_sets_nothing() -> None:
    assert tomllib.loads(INSTALLED) == {table: {} for table in KEYS}


def test_with_the_comments_removed_it_has_every_key() -> None:
    settings = tomllib.loads(UNCOMMENTED)
    assert {table: set(keys) for table, keys in settings.items()} == KEYS


def test_every_key_is_explained_above_it() -> None:
    lines = INSTALLED.splitlines()
    bare = [line for above, line in itertools.pairwise(lines) if re.match(r"#\w", line) and above[:2] != "# "]
    assert not bare
