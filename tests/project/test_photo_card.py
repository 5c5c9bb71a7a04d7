"""The scores in the card of the photo model are those of docs/photo.json."""

from __future__ import annotations

import json
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_card_says_what_was_measured() -> None:
    scores = json.loads((REPOSITORY / "docs" / "photo.json").read_text("utf-8"))
    card = (REPOSITORY / "vheatir" / "weights" / "photo.md").read_text("utf-8")
    for name in ("real pairs", "σ 15, then JPEG 60", "JPEG 30, then 80"):
        before, after = (
            sum(values.values()) / len(values) for values in (scores[name]["as it is"], scores[name]["--task photo"])
        )
        assert f"{before:.2f} -> {after:.2f} dB" in card
