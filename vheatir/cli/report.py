"""``vheatir report``: renews the measured tables in Markdown pages; ``--check`` says which pages are out of date."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name
from typing import Final

from vheatir.cli.shared import DONE, FAILED, new_parser

__all__ = ["build_parser", "run", "tables"]

#: what makes each table of its file or folder
_TABLES: Final = {
    "scores": "vheatir.pages.tables:scores",
    "agreement": "vheatir.pages.tables:agreement",
    "speed": "vheatir.pages.tables:speed",
    "train-speed": "vheatir.pages.tables:train_speed",
    "performance": "vheatir.pages.tables:performance",
    "photo": "vheatir.pages.tables:photo",
    "networks": "vheatir.nn.complexity:configurations_table",
    "options": "vheatir.training.options.page:options_table",
    "race": "vheatir.research.race.report:race_table",
    "race-costs": "vheatir.research.race.costs:costs_table",
}

_EPILOG: Final = f"""\
In a page, a table stands between marks; FILE, a file or folder of measurements, is relative to the page:

  <!-- table: NAME FILE -->
  <!-- end -->

Names: {", ".join(_TABLES)}.
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    parser = new_parser("report", "Renew the measured tables in Markdown pages.", _EPILOG)
    parser.add_argument(
        "folder", type=Path, nargs="?", default=Path("docs"), help="of the pages, with its subfolders (default: docs)"
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if a page is out of date")
    return parser


def tables() -> dict[str, Callable[[Path], str]]:
    """What makes each table, by name."""
    return {name: resolve_name(place) for name, place in _TABLES.items()}


def run(arguments: argparse.Namespace) -> int:
    """Renew or check the pages, name those that change, and return the exit code."""
    from vheatir.pages.marks import find_pages, renew, renewed

    known, changed = tables(), False
    for page in find_pages(arguments.folder):
        if not arguments.check:
            if renew(page, known):
                print(f"{page} is renewed.")
        elif renewed(page, known) != page.read_text("utf-8"):
            changed = True
            print(f"{page} is out of date: run vheatir report {arguments.folder}.")
    return FAILED if changed else DONE
