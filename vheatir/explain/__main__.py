"""``python -m vheatir.explain``: see :mod:`vheatir.explain.cli`."""

from __future__ import annotations

import sys

from vheatir.explain.cli import main

if __name__ == "__main__":
    sys.exit(main())
