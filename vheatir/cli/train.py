"""``vheatir train -opt options/train/NAME.yml``, also ``python -m vheatir.train``: trains from an option file.

vheatir train -opt options/train/fast_denoise_gray.yml
vheatir train -opt ... --auto_resume                    # go on after an interruption
vheatir train -opt ... --force_yml train:ema_decay=0.99 # change an option
torchrun --nproc_per_node=4 -m vheatir.train -opt ... --launcher pytorch
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from vheatir.cli.shared import new_parser

__all__ = ["build_parser", "new_training_parser", "run", "run_training"]

_EPILOG: Final = """\
Files go to experiments/NAME and tb_logger/NAME below the current folder, NAME being the option file's. Ctrl-C saves the
step at hand, and --auto_resume goes on from it.
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    return new_training_parser("train", "Train a network from an option file.")


def new_training_parser(verb: str, description: str) -> argparse.ArgumentParser:
    """A parser of BasicSR's arguments."""
    parser = new_parser(verb, description, _EPILOG)
    parser.add_argument("-opt", type=Path, required=True, metavar="FILE", help=f"option file: options/{verb}/*.yml")
    parser.add_argument("--auto_resume", action="store_true", help="go on from the newest training state, if any")
    parser.add_argument(
        "--force_yml", nargs="+", metavar="SECTION:KEY=VALUE", help="change options of the file: train:ema_decay=0.99"
    )
    parser.add_argument(
        "--launcher", choices=("none", "pytorch", "slurm"), default="none", help="what starts several processes"
    )
    parser.add_argument("--local_rank", type=int, default=0, help="of this process, set by a launcher")
    parser.add_argument("--debug", action="store_true", help="BasicSR's debug mode: validate and save at once")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Train, and return the exit code."""
    from vheatir.training.options import check_options

    return run_training(arguments, partial(check_options, is_train=True))


def run_training(arguments: argparse.Namespace, check: Callable[[Mapping[str, Any]], None]) -> int:
    """Train by an option file that ``check`` accepts; BasicSR reads the command line by itself."""
    from vheatir.train import check_command_line, train

    command = sys.argv
    sys.argv = [command[0], *arguments.words]
    try:
        check_command_line(check)
        return train(Path.cwd())
    finally:
        sys.argv = command
