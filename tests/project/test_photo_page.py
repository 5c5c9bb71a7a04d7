"""The scores on docs/photo.md and in the card of the photo model are those of docs/photo.json."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = REPOSITORY / "docs" / "scripts" / "photo_evidence.py"


def test_the_page_shows_the_table_of_its_scores() -> None:
    spec = importlib.util.spec_from_file_location("photo_evidence", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    scores = json.loads((REPOSITORY / "docs" / "photo.json").read_text("utf-8"))
    page = (REPOSITORY / "docs" / "photo.md").read_text("utf-8")
    assert script._table(scores).strip() in page


def test_the_card_says_what_was_measured() -> None:
    scores = json.loads((REPOSITORY / "docs" / "photo.json").read_text("utf-8"))
    card = (REPOSITORY / "vheatir" / "weights" / "photo.md").read_text("utf-8")
    for name in ("real pairs", "σ 15, then JPEG 60", "JPEG 30, then 80"):
        before, after = (
            sum(values.values()) / len(values) for values in (scores[name]["as it is"], scores[name]["--task photo"])
        )
        assert f"{before:.2f} -> {after:.2f} dB" in card
