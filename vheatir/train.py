"""Train from an option file.

python -m vheatir.train -opt options/train/fast_denoise_gray.yml  # as vheatir train
torchrun --nproc_per_node=4 -m vheatir.train -opt ... --launcher pytorch
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """``python -m vheatir.train`` is ``vheatir train`` with the same arguments: these, or those of this process."""
    from vheatir.cli.main import main as command

    return command(["train", *(sys.argv[1:] if argv is None else argv)])


if __name__ == "__main__":
    sys.exit(main())
