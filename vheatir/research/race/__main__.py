"""``python -m vheatir.research.race``."""

from __future__ import annotations

import sys

from vheatir.research.race.cli import main

if __name__ == "__main__":
    sys.exit(main())
