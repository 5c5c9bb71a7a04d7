"""``vheatir export -opt options/train/NAME.yml experiments/NAME/models/net_g_latest.pth model.safetensors``."""

from __future__ import annotations

import argparse
from pathlib import Path

from vheatir.cli.shared import DONE, check_parent, new_parser

__all__ = ["build_parser", "run"]


def build_parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    parser = new_parser("export", "Turn a checkpoint of a training into a weights file, for vheatir restore --model.")
    parser.add_argument("-opt", type=Path, required=True, help="option file that the checkpoint was trained with")
    parser.add_argument("checkpoint", type=Path, help="net_g_*.pth")
    parser.add_argument("output", type=Path, help="weights file to write, *.safetensors")
    parser.add_argument("--licence", default="Apache-2.0", help="licence of the weights (default: %(default)s)")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Export, and return the exit code."""
    check_parent(arguments.output, "the output")

    from vheatir.training.export import export

    export(arguments.opt, arguments.checkpoint, arguments.output, licence=arguments.licence)
    return DONE
