"""Pretrain a network on unlabelled photos from a BasicSR option file.

    python -m vheatir.research.pretrain -opt options/pretrain/qbheat_fast.yml
    python -m vheatir.research.pretrain -opt ... --auto_resume
    python -m vheatir.train -opt options/train/fast_denoise_gray.yml \
        --force_yml path:pretrain_network_g=experiments/qbheat_fast/models/net_g_latest.pth

The loop, its logs, checkpoints and flags are those of ``vheatir.train``.
"""

from __future__ import annotations

import sys

from vheatir.train import run_command
from vheatir.training.options import check_pretraining_options

__all__ = ["main"]


def main() -> int:
    """Entry point of ``python -m vheatir.research.pretrain``; the command line is BasicSR's."""
    return run_command(check_pretraining_options)


if __name__ == "__main__":
    sys.exit(main())
