"""Restore degraded images: ``python inference.py --task denoise --sigma 15 in/ out/``; see ``--help``."""

from __future__ import annotations

import sys

from vheatir.cli.restore import main

if __name__ == "__main__":
    sys.exit(main())
