"""The documentation: its links lead somewhere, its commands, keys, codes and decisions are those of the program."""

from __future__ import annotations

import itertools
import re
import textwrap
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

try:
    import tomllib
except ImportError:  # Python 3.10
    import tomli as tomllib

from nodeprep.judge import decide
from nodeprep.messages import BY_CODE
from nodeprep.stamp import take
from nodeprep.verbs import VERBS, UsageError
from tests.pictures.drawing import FOLDER, SGR, drawings
from tests.repo.sources import ROOT, tracked
from tests.repo.test_configuration import KEYS

PAGES = sorted(path for path in tracked() if path.suffix == ".md")
LONGEST = 120
# `ports.py` looks like a key, and is a file.
SUFFIXES = {"py", "json"}
# Pages that are older than the limit.
GROWN = {"ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "protocol.md"}
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"(?m)^#+ +(.+?) *$")
# What is typed stands alone on a line of a block, behind the prompt of root or none, or between backticks.
TYPED = re.compile(r"(?m)^(?: {4,}(?:# |ssh \S+ )?|# |ssh \S+ )(nodeprep [^\n]*)|`(nodeprep [^`\n]*)`")


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    titles = (re.sub(r"[^\w\- ]", "", title.lower()) for title in HEADING.findall(page.read_text()))
    return {title.strip().replace(" ", "-") for title in titles}


def shell_part(command: str) -> list[str]:
    """Return the words of a command, without comment, redirection and whatever else is the shell's."""
    return re.split(r"\s+(?:#|<|>|\||&&|;)|`", command)[0].split()[1:]


def complaint(words: list[str], *, is_whole: bool) -> str:
    """Return what is wrong with what is typed, "" if nothing; prose may name a verb and leave it at that."""
    if words in (["--version"], ["--help"]) or words[:1] == ["VERB"]:
        return ""
    verb = VERBS.get(words[0])
    if verb is None:
        return f"there is no verb {words[0]}"
    if not is_whole:
        strange = {word.partition("=")[0] for word in words if word.startswith("--")} - set(verb.options) - {"--help"}
        return f"{words[0]}: there is no {', '.join(sorted(strange))}" if strange else ""
    try:
        verb.parse(words[1:])
    except UsageError as error:
        return str(error)
    return ""


def name(page: Path) -> str:
    """Return what a page is called in the report."""
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    lost = []
    for link in LINK.findall(page.read_text()):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(link)
    assert not lost


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_exists(page: Path) -> None:
    found = TYPED.findall(page.read_text())
    complaints = [complaint(shell_part(block or inline), is_whole=bool(block)) for block, inline in found]
    assert not [each for each in complaints if each]


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in GROWN], ids=name)
def test_no_line_is_too_long(page: Path) -> None:
    prose = (line for line in page.read_text().splitlines() if not line.startswith("|"))
    assert not [line for line in prose if len(line) > LONGEST]


def test_every_page_can_be_found() -> None:
    pages = {page for page in PAGES if ROOT / "docs" in page.parents}
    found: set[Path] = set()
    new = {ROOT / "README.md"}
    while new:
        found |= new
        links = ((page, link) for page in new for link in LINK.findall(page.read_text()))
        targets = {(page.parent / link.partition("#")[0]).resolve() for page, link in links}
        new = targets & set(PAGES) - found
    assert not {name(page) for page in pages - found}


def test_the_pictures_are_those_of_their_texts() -> None:
    drawn = drawings()
    assert drawn, "there is no text in docs/pictures"
    stale = [path.name for path, picture in drawn.items() if not path.exists() or path.read_text() != picture]
    strangers = [path.name for path in set(FOLDER.glob("*.svg")) - set(drawn)]
    assert not stale + strangers, "`python3 -m tests.pictures` draws them anew"


@pytest.mark.parametrize("text", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.stem)
def test_a_picture_shows_all_of_its_text(text: Path) -> None:
    picture = ET.fromstring(text.with_suffix(".svg").read_text())
    rows = ["".join(row.itertext()) for row in picture.iter("{http://www.w3.org/2000/svg}text")][1:]
    assert "".join(rows) == SGR.sub("", text.read_text()).replace("\n", "")


def settings(page: Path) -> list[str]:
    """Return the blocks of a page that are configuration: indented, and beginning with a table of nodeprep.toml."""
    grouped = itertools.groupby(page.read_text().splitlines(), lambda line: not line or line[:4] == "    ")
    blocks = [textwrap.dedent("\n".join(lines)).strip("\n") for is_indented, lines in grouped if is_indented]
    return [block for block in blocks if re.match(rf"\[({'|'.join(KEYS)})\]\n", block)]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_what_a_page_has_somebody_configure_is_known(page: Path) -> None:
    for block in settings(page):
        for table, keys in tomllib.loads(block).items():
            assert set(keys) <= KEYS[table], block
    named = re.findall(rf"`({'|'.join(KEYS)})\.([a-z_]+)(?: =[^`]*)?`", page.read_text())
    assert not [f"{table}.{key}" for table, key in named if key not in KEYS[table] | SUFFIXES]


def test_there_is_configuration_to_look_at() -> None:
    assert sum(len(settings(page)) for page in PAGES) > 10


def rows(page: str, heading: str) -> list[list[str]]:
    """Return the cells of the first table behind a heading, without its head."""
    text = (ROOT / page).read_text().split(f"\n{heading}\n", 1)[1]
    table = next(block for block in map(str.strip, text.split("\n\n")) if block.startswith("|"))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


HERE, ELSEWHERE = frozenset({"here"}), frozenset({"elsewhere"})
SIGNALS = {"same": HERE, "new": ELSEWHERE, "unknown": frozenset[str]()}


def test_the_table_of_decisions_is_that_of_the_judge() -> None:
    stamp = take({}, frozenset(), {"product-uuid": HERE, "permanent-mac": HERE}, "", {})
    told = {}
    for platform, macs, decided, _ in rows("docs/explanation/decision.md", "## The table"):
        alone, _, joined = (part.split("**")[1] if "**" in part else "" for part in decided.partition(";"))
        for pair in itertools.product(platform.split(" or "), macs.split(" or ")):
            told[pair] = (alone, joined or alone)
    assert set(told) == set(itertools.product(SIGNALS, SIGNALS))
    for (platform, macs), expected in told.items():
        found = {"product-uuid": SIGNALS[platform], "permanent-mac": SIGNALS[macs]}
        origins = [
            decide(stamp, found, baked_offline=False, on_hardware_change="decide", joined=joined).origin.value
            for joined in (False, True)
        ]
        assert tuple(origins) == expected, (platform, macs)


def test_every_code_that_holds_a_node_is_explained() -> None:
    cells = [cell for cell, *_ in rows("docs/how-to/held.md", "![nodeprep explain](../pictures/explain.svg)")]
    codes = {code for cell in cells for code in re.findall("`([a-z-]+)`", cell)}
    assert codes and codes <= set(BY_CODE)
