"""``python -m vheatir.evaluation``: score methods on sets of images, measure speed, write the report and the plots.

The first word chooses the command; without one, methods are scored. Each command is a module with ``main(argv)`` that
returns the exit code.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

__all__ = ["main"]

_COMMANDS: Final = {
    "score": "vheatir.evaluation.cli",
    "report": "vheatir.evaluation.report",
    "speed": "vheatir.evaluation.cost.speed",
    "train-speed": "vheatir.evaluation.cost.train_speed",
    "plot": "vheatir.evaluation.plots",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the first word names, or score, and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    command = words.pop(0) if words and words[0] in _COMMANDS else "score"
    return int(import_module(_COMMANDS[command]).main(words))


if __name__ == "__main__":
    sys.exit(main())
