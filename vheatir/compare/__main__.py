"""``python -m vheatir.compare``."""

from __future__ import annotations

import sys

from vheatir.compare.cli import main

if __name__ == "__main__":
    sys.exit(main())
