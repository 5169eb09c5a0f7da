"""The documentation: its links lead somewhere, its commands exist, and its pictures are those of its texts."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from nodeprep.verbs import VERBS, UsageError
from tests.pictures.drawing import FOLDER, SGR, drawings
from tests.repo.sources import ROOT, tracked

PAGES = sorted(path for path in tracked() if path.suffix == ".md")
LONGEST = 120
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
