"""``vheatir train -opt options/train/NAME.yml``, also ``python -m vheatir.train``: trains from an option file.

    vheatir train -opt options/train/fast_denoise_gray.yml
    vheatir train -opt ... --auto_resume                    # go on after an interruption
    vheatir train -opt ... --force_yml train:ema_decay=0.99 # change an option
    torchrun --nproc_per_node=4 -m vheatir.train -opt ... --launcher pytorch

The loop itself is :mod:`vheatir.training.loop`.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Final

from vheatir.cli.shared import new_parser

__all__ = ["build_parser", "new_training_parser", "run"]

_EPILOG: Final = """\
Files go to experiments/NAME and tb_logger/NAME below the current folder, NAME being the option file's. Ctrl-C saves the
step at hand, and --auto_resume goes on from it.
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    return new_training_parser("train", "Train a network from an option file.")


def new_training_parser(verb: str, description: str) -> argparse.ArgumentParser:
    """A parser of the arguments of a training, which are BasicSR's."""
    parser = new_parser(verb, description, _EPILOG)
    parser.add_argument("-opt", type=Path, required=True, metavar="FILE", help=f"option file: options/{verb}/*.yml")
    parser.add_argument("--auto_resume", action="store_true", help="go on from the newest training state, if any")
    parser.add_argument(
        "--force_yml",
        nargs="+",
        default=[],
        metavar="SECTION:KEY=VALUE",
        help="change options of the file: train:ema_decay=0.99",
    )
    parser.add_argument(
        "--launcher", choices=("none", "pytorch", "slurm"), default="none", help="what starts several processes"
    )
    parser.add_argument("--local_rank", type=int, default=0, help="of this process, set by a launcher")
    parser.add_argument("--debug", action="store_true", help="validate, log and save often")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Train, and return the exit code."""
    from vheatir.training.loop import train
    from vheatir.training.options import check_options

    return train(arguments, check=partial(check_options, is_train=True))
