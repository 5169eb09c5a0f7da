"""What no owner makes anew: taken out of an image, and made by its first boot, before the owners start."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodeprep.artefacts import (
    hosts_entry,
    ipv6_stable_secret,
    mail_name,
    nvme_host,
    popularity_contest,
    snakeoil_key,
)
from nodeprep.host.image import Image
from nodeprep.host.local import LocalMachine
from nodeprep.model import Artefact, Finding, Lacking, Verdict
from nodeprep.observe import observe
from nodeprep.steps import Fresh, ReplaceFiles, ReplaceSecret, ReplaceText, RunProgram, Situation
from tests.fakes import disk

FRESH = Fresh("f" * 32, b"fresh" * 100, "02:00:00:00:00:aa", "/staging")
NAMED = Situation(hostname="worker-1")
SYSCTL = "/etc/sysctl.d/stable.conf"
NETWORK = "/etc/systemd/network/lan.network"


def replaced(text: str, *actions: object) -> str:
    for action in actions:
        assert isinstance(action, ReplaceText), action
        assert text.count(action.old) == 1
        text = text.replace(action.old, action.new)
    return text


def test_a_sealed_domain_is_kept_and_named_anew(tmp_path: Path) -> None:
    disk.put(tmp_path, "/etc/hostname", b"template\n")
    disk.put(tmp_path, mail_name.PATH, b"template.example.org\n")
    sealed = replaced("template.example.org\n", *mail_name.seal(Image(str(tmp_path))))
    assert sealed == "sealed-image.example.org\n"
    disk.put(tmp_path, mail_name.PATH, sealed.encode())
    disk.put(tmp_path, "/etc/hostname", b"")
    values = mail_name.observe(LocalMachine("test", str(tmp_path)))
    assert isinstance(values, frozenset)
    finding = Finding("mail-name", Verdict.INHERITED, values)
    assert replaced(sealed, *mail_name.plan(finding, FRESH, NAMED)) == "worker-1.example.org\n"


def test_the_domain_of_a_whole_fleet_is_left_in_the_image(tmp_path: Path) -> None:
    disk.put(tmp_path, "/etc/hostname", b"template\n")
    disk.put(tmp_path, mail_name.PATH, b"example.org\n")
    assert mail_name.seal(Image(str(tmp_path))) == ()


@pytest.mark.parametrize(
    ("before", "sealed", "after"),
    [
        ("127.0.1.1\ttemplate\n", "127.0.1.1\tlocalhost\n", "127.0.1.1\tworker-1\n"),
        (
            "127.0.1.1 template.example.org template db\n",
            "127.0.1.1\tlocalhost.example.org localhost db\n",
            "127.0.1.1\tworker-1.example.org worker-1 db\n",
        ),
    ],
)
def test_an_own_line_keeps_domain_and_aliases_through_sealing(
    tmp_path: Path, before: str, sealed: str, after: str
) -> None:
    disk.put(tmp_path, hosts_entry.PATH, before.encode())
    assert replaced(before, *hosts_entry.seal(Image(str(tmp_path)))) == sealed
    finding = Finding("hosts-entry", Verdict.INHERITED, frozenset({sealed}))
    assert replaced(sealed, *hosts_entry.plan(finding, FRESH, NAMED)) == after


@pytest.mark.parametrize(
    ("path", "line", "sealed"),
    [
        (SYSCTL, "net.ipv6.conf.all.stable_secret = fd00::1\n", "net.ipv6.conf.all.stable_secret = "),
        (SYSCTL, "-net/ipv6/conf/eth0.5/stable_secret=fd00::1", "-net/ipv6/conf/eth0.5/stable_secret="),
        (NETWORK, "  IPv6StableSecretAddress=fd00::1\n", "  IPv6StableSecretAddress="),
    ],
)
def test_a_stable_secret_comes_back_where_it_was(tmp_path: Path, path: str, line: str, sealed: str) -> None:
    head = "# the operator's\n"
    disk.put(tmp_path, path, (head + line).encode())
    actions = ipv6_stable_secret.seal(Image(str(tmp_path)))
    assert all(isinstance(action, ReplaceSecret) for action in actions)
    text = replaced(head + line, *actions)
    assert text == f"{head}# nodeprep makes one at the first boot: {sealed}\n"
    disk.put(tmp_path, path, text.encode())
    values = ipv6_stable_secret.observe(LocalMachine("test", str(tmp_path)))
    finding = Finding("ipv6-stable-secret", Verdict.INHERITED, values)
    renewed = replaced(text, *ipv6_stable_secret.plan(finding, FRESH, NAMED))
    assert renewed.startswith(head + sealed)
    assert "fd00::1" not in renewed
    disk.put(tmp_path, path, renewed.encode())
    assert ipv6_stable_secret.seal(Image(str(tmp_path))) != (), "a secret is there again"


def test_an_empty_id_of_the_popularity_contest_is_filled(tmp_path: Path) -> None:
    text = 'MY_HOSTID="6edfd5123abc460f845b8bcf9ee87e43"\nPARTICIPATE="no"\n'
    disk.put(tmp_path, popularity_contest.PATH, text.encode())
    sealed = replaced(text, *popularity_contest.seal(Image(str(tmp_path))))
    assert sealed == 'MY_HOSTID=""\nPARTICIPATE="no"\n'
    disk.put(tmp_path, popularity_contest.PATH, sealed.encode())
    assert popularity_contest.seal(Image(str(tmp_path))) == ()
    values = popularity_contest.observe(LocalMachine("test", str(tmp_path)))
    assert isinstance(values, frozenset)
    finding = Finding("popularity-contest", Verdict.INHERITED, values)
    assert 'MY_HOSTID=""' not in replaced(sealed, *popularity_contest.plan(finding, FRESH, NAMED))


@pytest.mark.parametrize(
    ("artefact", "paths"),
    [
        (nvme_host.ARTEFACT, (nvme_host.ID, nvme_host.NQN)),
        (snakeoil_key.ARTEFACT, (snakeoil_key.KEY, snakeoil_key.CERTIFICATE)),
    ],
    ids=["nvme", "snakeoil"],
)
def test_a_half_is_lacking_at_a_first_boot_and_nothing_is_missed_on_a_machine_that_lives(
    tmp_path: Path, artefact: Artefact, paths: tuple[str, str]
) -> None:
    disk.make_template(tmp_path)
    machine = LocalMachine("test", str(tmp_path))
    name = artefact.name
    for path in paths:
        assert isinstance(observe((artefact,), machine, first_boot=True)[name], frozenset)
        content = Path(f"{tmp_path}{path}").read_bytes()
        Path(f"{tmp_path}{path}").unlink()
        assert isinstance(observe((artefact,), machine, first_boot=True)[name], Lacking)
        assert isinstance(observe((artefact,), machine)[name], frozenset), "an operator may have removed it"
        disk.put(tmp_path, path, content)


@pytest.mark.parametrize("owner", [nvme_host.OWNER, snakeoil_key.OWNER])
def test_nothing_is_made_for_an_owner_that_is_not_installed(tmp_path: Path, owner: str) -> None:
    disk.put(tmp_path, "/etc/group", b"ssl-cert:x:101:\n")
    machine = LocalMachine("test", str(tmp_path))
    both = (nvme_host.lacks, snakeoil_key.lacks)
    assert [lacks(machine) for lacks in both] == ["", ""]
    disk.put(tmp_path, owner, b"")
    assert len([why for lacks in both if (why := lacks(machine))]) == 1


def test_a_pair_that_was_not_there_may_be_read_by_debians_group() -> None:
    missing = snakeoil_key.plan(Finding("snakeoil-key", Verdict.MISSING), FRESH, NAMED)
    programs = [action.argv for action in missing if isinstance(action, RunProgram)]
    assert [argv[:2] for argv in programs[1:]] == [("chgrp", "ssl-cert"), ("chmod", "640")]
    assert isinstance(missing[-1], ReplaceFiles)
    assert missing[-1].pattern == snakeoil_key.CERTIFICATE
    (inherited,) = (
        action
        for action in snakeoil_key.plan(Finding("snakeoil-key", Verdict.INHERITED, frozenset({"x"})), FRESH, NAMED)
        if isinstance(action, RunProgram)
    )
    assert inherited == missing[0], "the one that is replaced hands its own on"


def test_a_pair_is_made_though_the_hostname_cannot_be_told_yet() -> None:
    nameless = Situation()
    (make, *_) = snakeoil_key.plan(Finding("snakeoil-key", Verdict.MISSING), FRESH, nameless)
    assert isinstance(make, RunProgram)
    assert "/CN=localhost" in make.argv
    assert snakeoil_key.plan(Finding("snakeoil-key", Verdict.INHERITED, frozenset({"x"})), FRESH, nameless) == ()
