"""Tables in Markdown pages, made of files of measurements, between marks that stay in the page.

    <!-- table: NAME FILE -->
    ... replaced by the table NAME of FILE ...
    <!-- end -->

FILE is a file or a folder, relative to the page; tables that are made of the program alone need none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from vheatir.system.atomic import atomic_path

__all__ = ["PageError", "find_pages", "renew", "renewed"]

Table = Callable[[Path], str]

_MARK: Final = "<!-- table: "
_PLACE: Final = re.compile(
    r"^(?P<begin><!-- table: (?P<name>\S+)(?: (?P<file>\S+))? -->\n).*?^(?P<end><!-- end -->)$",
    flags=re.DOTALL | re.MULTILINE,
)


class PageError(ValueError):
    """A page whose tables cannot be made; the message names the page and the remedy."""


def find_pages(folder: Path) -> list[Path]:
    """The Markdown pages of a folder and its subfolders that have tables, sorted.

    Raises:
        PageError: if there are none.
    """
    pages = [page for page in sorted(folder.rglob("*.md")) if _MARK in page.read_text("utf-8")]
    if not pages:
        raise PageError(f"{folder} holds no page with a table, {_MARK}NAME FILE --> ... <!-- end -->.")
    return pages


def renewed(page: Path, tables: Mapping[str, Table]) -> str:
    """The text of a page with all its tables made anew.

    Args:
        page: the page.
        tables: by name, what makes a table of its file or folder; of the page's folder if none is named.

    Raises:
        PageError: if a table is unknown, or its place does not end.
        ValueError: if a file cannot be used.
    """
    text = page.read_text("utf-8")

    def fill(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in tables:
            raise PageError(f"{page} has a table {name}: known are {', '.join(sorted(tables))}.")
        return match["begin"] + tables[name](page.parent / (match["file"] or "")).strip("\n") + "\n" + match["end"]

    places = len(_PLACE.findall(text))
    if places != text.count(_MARK):
        raise PageError(f"{page} has {text.count(_MARK)} tables and {places} ends: close each with <!-- end -->.")
    return _PLACE.sub(fill, text)


def renew(page: Path, tables: Mapping[str, Table]) -> bool:
    """Write a page with all its tables made anew, atomically, if that changes it; whether it did.

    Raises:
        ValueError: as :func:`renewed`.
    """
    text = renewed(page, tables)
    if text == page.read_text("utf-8"):
        return False
    with atomic_path(page) as temporary:
        temporary.write_text(text, "utf-8")
    return True
