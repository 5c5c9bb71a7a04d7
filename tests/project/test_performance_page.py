"""The ratios in docs/performance.md are those of the committed speed files."""

from __future__ import annotations

import runpy
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_page_shows_the_ratios_as_measured() -> None:
    script = runpy.run_path(str(REPOSITORY / "docs" / "scripts" / "performance_table.py"))
    assert script["table"]() in (REPOSITORY / "docs" / "performance.md").read_text("utf-8")
