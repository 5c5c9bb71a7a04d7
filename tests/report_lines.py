"""Reading what ``vheatir restore --report`` writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_report(path: Path) -> list[dict[str, Any]]:
    """The lines of a report, each a file."""
    return [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]
