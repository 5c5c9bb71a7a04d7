"""``python inference.py --task denoise --sigma 15 in/ out/`` is ``vheatir restore`` with the same arguments."""

from __future__ import annotations

import sys

from vheatir.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["restore", *sys.argv[1:]]))
