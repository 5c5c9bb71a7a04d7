"""``python -m vheatir.research.explain``: see :mod:`vheatir.research.explain.cli`."""

from __future__ import annotations

import sys

from vheatir.research.explain.cli import main

if __name__ == "__main__":
    sys.exit(main())
