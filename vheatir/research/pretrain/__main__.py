"""Pretrain a network on unlabelled photos from an option file.

    python -m vheatir.research.pretrain -opt options/pretrain/qbheat_fast.yml
    python -m vheatir.research.pretrain -opt ... --auto_resume
    python -m vheatir.train -opt options/train/fast_denoise_gray.yml \
        --force_yml path:pretrain_network_g=experiments/qbheat_fast/models/net_g_latest.pth

The loop, its logs, checkpoints and flags are those of ``vheatir.train``.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from typing import Any

from vheatir.training import loop
from vheatir.training.command import add_arguments

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Pretrain as a command line says: its arguments, or those of this process. Returns the exit code."""
    parser = ArgumentParser(description="Pretrain a network from an option file.")
    add_arguments(parser)
    return loop.run_command(
        parser.parse_args(argv), check=_check, models={"QBHeatModel": "vheatir.research.pretrain.model"}
    )


def _check(options: Mapping[str, Any]) -> None:
    from vheatir.research.pretrain.options import check_pretraining_options  # after what it needs was looked for

    check_pretraining_options(options)


if __name__ == "__main__":
    sys.exit(main())
