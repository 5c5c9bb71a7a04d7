"""``vheatir train-speed``: megapixels of crops a second that networks train on."""

from __future__ import annotations

import argparse
from pathlib import Path

from vheatir.cli.shared import DONE, new_parser
from vheatir.cli.speed import check_measuring
from vheatir.errors import UsageError
from vheatir.speed.row_list import NETWORK_NAMES

__all__ = ["build_parser", "run"]


def build_parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    description = "Measure training steps (forward, loss, backward, clipping, optimizer) on random RGB crops."
    parser = new_parser("train-speed", description)
    parser.add_argument(
        "--rows", nargs="+", default=["fast"], choices=NETWORK_NAMES, metavar="ROW", help=", ".join(NETWORK_NAMES)
    )
    parser.add_argument("--batch", type=int, default=8, help="crops in a step (default: 8)")
    parser.add_argument("--crop", type=int, default=64, help="side of a crop in pixels (default: 64)")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="bf16", help="default: bf16")
    parser.add_argument(
        "--optimizer", choices=("Muon", "AdamW"), default="Muon", help="default: Muon, as in the option files"
    )
    parser.add_argument("--compile", action="store_true", help="compile the networks by torch.compile")
    parser.add_argument("--rounds", type=int, default=9, help="measurements of each (default: 9)")
    parser.add_argument("--limit", type=float, default=300.0, help="seconds for each row (default: 300)")
    parser.add_argument("--threads", type=int, help="torch's threads (default: its own choice)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, ... (default: cpu)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the measurements as JSON")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Measure, print Markdown, and return the exit code."""
    if min(arguments.batch, arguments.rounds, arguments.threads or 1) < 1 or arguments.crop < 16:
        raise UsageError("--batch, --rounds and --threads are 1 or more, --crop 16 or more.")
    check_measuring(arguments)

    import torch

    from vheatir.evaluation.environment import describe_environment
    from vheatir.inference.compute import select_device
    from vheatir.speed.train_report import TRAIN_SPEED_FILE, TrainSpeedReport, markdown
    from vheatir.speed.training import TrainingPlan, measure_training

    device = select_device(arguments.device)
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    plan = TrainingPlan(
        rows=list(dict.fromkeys(arguments.rows)),
        batch=arguments.batch,
        crop=arguments.crop,
        precision=arguments.precision,
        optimizer=arguments.optimizer,
        compile=arguments.compile,
        rounds=arguments.rounds,
        limit=arguments.limit,
        device=device,
    )
    environment = describe_environment(device)
    report = TrainSpeedReport(
        environment=environment,
        batch=plan.batch,
        crop=plan.crop,
        precision=plan.precision,
        optimizer=plan.optimizer,
        compile=plan.compile,
        timings=measure_training(plan),
    )
    if arguments.output is not None:
        TRAIN_SPEED_FILE.write(arguments.output, report)
    print(markdown(report), end="")
    return DONE
