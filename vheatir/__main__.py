"""``python -m vheatir VERB``: the command ``vheatir``, without installing it."""

from __future__ import annotations

import sys

from vheatir.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
