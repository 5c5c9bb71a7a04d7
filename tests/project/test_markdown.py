"""Markdown pages: every relative link leads somewhere, and lines are short enough to be compared side by side."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import pytest

REPOSITORY: Final = Path(__file__).resolve().parents[2]
#: folders with files that are not of the project
_FOREIGN: Final = {"build", "dist", "node_modules", "out"}
_LINK: Final = re.compile(r"\[[^][]*\]\(<?(?P<target>[^()\s<>]+)>?\)")
_HEADING: Final = re.compile(r"#{1,6} +(?P<title>.+?) *#*")


def pages() -> list[Path]:
    return [
        page
        for page in sorted(REPOSITORY.rglob("*.md"))
        if not any(part.startswith(".") or part in _FOREIGN for part in page.relative_to(REPOSITORY).parts)
    ]


def name(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


#: what people read first: the other pages have lines as long as those of code
PAGES: Final = [page for page in pages() if name(page).split("/")[0] in ("README.md", "docs", "examples")]


def prose(text: str) -> Iterator[str]:
    """Lines outside of code; a line of code is empty."""
    fence = ""
    for line in text.splitlines():
        mark = re.match(r" *(```+|~~~+)", line)
        if mark and (not fence or mark[1].startswith(fence)):
            fence = "" if fence else mark[1]
            yield ""
        else:
            yield "" if fence else re.sub(r"`[^`]*`", lambda code: code[0].replace("](", "] ("), line)


def anchors(text: str) -> set[str]:
    """What a link may name after ``#``, as GitHub makes it of the headings."""
    found: dict[str, int] = {}
    names = set(re.findall(r'<a (?:name|id)="([^"]+)"', text))
    for line in prose(text):
        if match := _HEADING.fullmatch(line):
            title = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", match["title"]).lower()
            slug = re.sub(r"[^\w\- ]", "", title).replace(" ", "-")
            names.add(f"{slug}-{found[slug]}" if slug in found else slug)
            found[slug] = found.get(slug, 0) + 1
    return names


def broken(page: Path) -> list[str]:
    """The relative links of a page that lead nowhere."""
    wrong = []
    # Whole pages, since a line may end within the words of a link.
    for match in _LINK.finditer("\n".join(prose(page.read_text("utf-8")))):
        target = match["target"]
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = page.parent / unquote(path) if path else page
        if not there.exists() or (anchor and anchor not in anchors(there.read_text("utf-8"))):
            wrong.append(target)
    return wrong


@pytest.mark.parametrize("page", pages(), ids=name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    assert broken(page) == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_lines_outside_of_tables_and_code_have_at_most_100_characters(page: Path) -> None:
    text = re.sub(r"<!-- table:.*?<!-- end -->", "", page.read_text("utf-8"), flags=re.DOTALL)
    assert [line for line in prose(text) if len(line) > 100 and not line.startswith(("|", "![", "    "))] == []


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# A `title`, of σ 5\n\n## Same\n\n## Same\n\n```\n## code\n```\n")
    page = tmp_path / "page.md"
    good = "other.md other.md#same other.md#same-1 other.md#a-title-of-σ-5 #here https://example.org/none"
    page.write_text("# Here\n" + "".join(f"[a]({target})\n" for target in good.split()))
    assert broken(page) == []
    bad = "none.md other.md#none other.md#same-2 other.md#code #there"
    page.write_text("# Here\n" + "".join(f"[a]({target})\n" for target in bad.split()))
    assert broken(page) == bad.split()
    page.write_text("[broken\nlines](none.md)")
    assert broken(page) == ["none.md"]
    page.write_text("# Here\n```\n[a](none.md)\n```\n`[a](none.md)`\n")
    assert broken(page) == []
