"""The report of a check, one row an image that was left out or deserves a remark."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from vheatir.data.prepare.checks import Finding
from vheatir.system.atomic import atomic_path

__all__ = ["remarks", "write_report"]


def write_report(path: Path, findings: Sequence[Finding]) -> None:
    """Write a CSV file with columns image, verdict (kept, or why it was left out) and remark, atomically."""
    remarked = remarks(findings)
    rows = [
        (finding.name, finding.problem or "kept", finding.detail or remarked[finding.name])
        for finding in findings
        if finding.problem is not None or finding.name in remarked
    ]
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("image", "verdict", "remark"), *rows])


def remarks(findings: Sequence[Finding]) -> dict[str, str]:
    """Return by name what to know about kept images: a JPEG past, and being gray where most are in colour."""
    kept = [finding for finding in findings if finding.problem is None]
    gray = {finding.name for finding in kept if finding.shape[2] == 1}
    mostly_color = 2 * len(gray) < len(kept)
    texts = {}
    for finding in kept:
        parts = []
        if finding.jpeg_quality is not None:
            parts.append(f"its pixels show JPEG compression of quality {finding.jpeg_quality}")
        if mostly_color and finding.name in gray:
            parts.append("gray among colour images")
        if parts:
            texts[finding.name] = "; ".join(parts)
    return texts
