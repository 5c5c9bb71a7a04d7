"""``vheatir pretrain -opt options/pretrain/qbheat_fast.yml``: pretrains a network on photos alone.

    vheatir pretrain -opt options/pretrain/qbheat_fast.yml
    vheatir train -opt options/train/fast_denoise_gray.yml \
        --force_yml path:pretrain_network_g=experiments/qbheat_fast/models/net_g_latest.pth

The loop, its logs, checkpoints and arguments are those of ``vheatir train``.
"""

from __future__ import annotations

import argparse

from vheatir.cli.train import new_training_parser

__all__ = ["build_parser", "run"]


def build_parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    return new_training_parser("pretrain", "Pretrain a network on photos alone, from an option file.")


def run(arguments: argparse.Namespace) -> int:
    """Pretrain, and return the exit code."""
    from vheatir.training.loop import train
    from vheatir.training.options import check_pretraining_options

    return train(arguments, check=check_pretraining_options, models={"QBHeatModel": "vheatir.research.pretrain.model"})
