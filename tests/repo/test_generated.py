"""What is made from the records: it is what would be made now, and the shells and man(1) take it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from nodeprep.artefacts import catalogue
from nodeprep.verbs import VERBS
from packaging.generate import all_roles, outputs, roff
from tests.repo.sources import ROOT

COMPLETIONS = ROOT / "packaging/completions"
COMPLETE = """
source "$1"
COMP_WORDS=(nodeprep "${@:2}")
COMP_CWORD=$(($# - 1))
_nodeprep
printf '%s\\n' "${COMPREPLY[@]}"
"""


def completed(*words: str) -> list[str]:
    """Return what bash offers for the last of these words."""
    done = subprocess.run(
        ("bash", "-c", COMPLETE, "bash", str(COMPLETIONS / "bash/nodeprep"), *words),
        capture_output=True, text=True, check=True, cwd=COMPLETIONS,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(("path", "text"), outputs().items(), ids=outputs())
def test_it_is_what_make_generated_writes(path: str, text: str) -> None:
    assert (ROOT / path).read_text() == text, "run `make generated`"


def test_bash_offers_verbs_their_options_and_what_these_take() -> None:
    assert set(VERBS) < set(completed(""))
    assert completed("sta") == ["status"]
    for verb in VERBS.values():
        assert set(verb.options) <= set(completed(verb.name, "--"))
    assert completed("decide", "") == ["renew", "keep", "--json", "--help"]
    assert completed("ports", "--format", "terraform-") == ["terraform-aws", "terraform-gcp", "terraform-azure"]
    assert "k3s-server" in completed("ports", "--role", "k3s")
    assert completed("explain", "no-f") == ["no-fleet-key"]
    assert completed("seal", "--root", "ba") == ["bash"]
    assert completed("status", "--timeout", "") == []
    assert completed("help", "doc") == ["doctor"]


@pytest.mark.parametrize(
    "command",
    [("bash", "-n", "bash/nodeprep"), ("zsh", "-n", "zsh/_nodeprep"), ("fish", "--no-execute", "fish/nodeprep.fish")],
    ids=lambda command: command[0],
)
def test_the_shell_parses_it(command: tuple[str, ...]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=COMPLETIONS)
    assert done.stdout + done.stderr == ""


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("nodeprep sta", "status"), ("nodeprep decide ", "renew"), ("nodeprep seal --k", "--keep-fleet-key")],
)
def test_fish_offers_them(typed: str, offered: str) -> None:
    script = f"source fish/nodeprep.fish; complete -C '{typed}'"
    done = subprocess.run(
        ("fish", "--no-config", "-c", script), capture_output=True, text=True, check=True, cwd=COMPLETIONS
    )
    assert offered in {line.split("\t")[0] for line in done.stdout.splitlines()}


def test_every_verb_and_every_option_is_explained_in_the_manual() -> None:
    page = (ROOT / "packaging/man/nodeprep.8").read_text()
    commands = page[page.index(".SH COMMANDS") : page.index(".SH ROLES")]
    heads = re.split(r"(?m)^\.TP\n(?=\.B[IR]? )", commands)
    for verb in VERBS.values():
        sections = [text for text in heads if re.match(rf'\.B[IR]? "?{verb.name}\b', text)]
        assert sections, verb.name
        # Tagged paragraphs of a verb's options follow its own.
        first, last = heads.index(sections[0]), heads.index(sections[-1])
        following = next((n for n, text in enumerate(heads) if n > last and _verb_of(text)), len(heads))
        told = "".join(heads[first:following])
        missing = [name for name in verb.options if roff(name) not in told and name != "--json"]
        assert not missing, f"{verb.name}: {missing}"


def _verb_of(section: str) -> str | None:
    found = re.match(r'\.B[IR]? "?([a-z]+)\b', section)
    return found[1] if found and found[1] in VERBS else None


def shown(page: Path) -> str:
    done = subprocess.run(
        ("groff", "-t", "-man", "-Tutf8", "-P-cbou", page), capture_output=True, text=True, check=True
    )
    return done.stdout


def test_the_pages_have_every_artefact_and_every_role() -> None:
    artefacts = shown(ROOT / "packaging/man/nodeprep-artefacts.7")
    for artefact in catalogue():
        assert f"       {artefact.name}" in artefacts.replace("\u2010", "-"), artefact.name
    roles = shown(ROOT / "packaging/man/nodeprep-roles.7").replace("\u2010", "-")
    for role in all_roles():
        assert f"{role.name.upper()}\n" in roles
        assert all(need.purpose[1:] in " ".join(roles.split()) for need in role.needs)
