"""Putting measured tables into a page, between marks that stay there.

<!-- measured: compare/mixers.json -->
... replaced by the table of that file, whose path is relative to the page ...
<!-- end of measured -->
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from vheatir.evaluation.record_file import format_name
from vheatir.research.race.costs import COSTS_FILE, costs_markdown, read_costs
from vheatir.research.race.curve import CompareError
from vheatir.research.race.report import markdown
from vheatir.research.race.results import read_comparison
from vheatir.system.atomic import atomic_path

__all__ = ["documented", "write_document"]

_PLACE: Final = re.compile(
    r"(?P<begin><!-- measured: (?P<file>\S+) -->\n).*?(?P<end><!-- end of measured -->)", flags=re.DOTALL
)


def documented(page: Path) -> str:
    """The page with all its tables made anew.

    Raises:
        CompareError: if the page cannot be read, has no such place, or a file cannot be used. One that is not there is
            no error: the page then says that nothing was measured yet.
    """
    try:
        text = page.read_text("utf-8")
    except OSError as error:
        raise CompareError(f"The page {page} cannot be read: {error.strerror}.") from error
    if not _PLACE.search(text):
        raise CompareError(f"{page} has no place for tables, <!-- measured: FILE --> ... <!-- end of measured -->.")
    return _PLACE.sub(lambda match: match["begin"] + _table(page.parent / match["file"]) + match["end"], text)


def write_document(page: Path) -> None:
    """Write the page with its tables made anew, atomically."""
    text = documented(page)
    with atomic_path(page) as temporary:
        temporary.write_text(text, "utf-8")


def _table(path: Path) -> str:
    if not path.is_file():
        return "*Not measured yet.*\n"
    if format_name(path) == COSTS_FILE.name:
        return costs_markdown(read_costs(path))
    return markdown(read_comparison(path))
