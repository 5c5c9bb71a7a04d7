"""``vheatir race -opt options/compare/mixers.yml``: train all entries alike, and compare them."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vheatir.cli.shared import DONE, make_folder, new_parser
from vheatir.errors import UsageError

if TYPE_CHECKING:
    from vheatir.research.race.results import Comparison

__all__ = ["build_parser", "run"]

logger = logging.getLogger(__name__)

_EPILOG: Final = """\
Started again, the command goes on: finished trainings are skipped, an interrupted one resumes from its last validation.
Files of the runs are below experiments/, results in --output: NAME.json, NAME.md and a figure for every task.

examples:
  %(prog)s -opt options/compare/mixers.yml --jobs 2
  %(prog)s -opt options/compare/mixers.yml --costs --output docs/compare
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    description = "Compare networks that differ in one thing: same data, same time, several seeds."
    parser = new_parser("race", description, _EPILOG)
    parser.add_argument("-opt", type=Path, required=True, metavar="FILE", help="option file of the comparison")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time, each on its own core (default: 1)")
    parser.add_argument("--costs", action="store_true", help="train nothing; measure time, memory, receptive field")
    parser.add_argument("--size", type=int, default=256, help="--costs: side of the image in pixels (default: 256)")
    parser.add_argument("--threads", type=int, default=1, help="--costs: torch's threads (default: 1)")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="results (default: experiments/compare_NAME)")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Compare, print Markdown, and return the exit code."""
    if min(arguments.jobs, arguments.threads) < 1 or arguments.size < 16:
        raise UsageError("--jobs and --threads are 1 or more, --size 16 or more.")
    return _costs(arguments) if arguments.costs else _race(arguments)


def _race(arguments: argparse.Namespace) -> int:
    from vheatir.research.race.plan import read_plan
    from vheatir.research.race.report import markdown
    from vheatir.research.race.results import COMPARISON_FILE
    from vheatir.research.race.runner import collect, run_all
    from vheatir.system.atomic import atomic_path

    plan = read_plan(arguments.opt)
    folder = Path("experiments") / f"compare_{plan.name}"
    output = _output(arguments.output, folder)

    def write() -> None:
        comparison = collect(plan, folder)
        COMPARISON_FILE.write(output / f"{plan.name}.json", comparison)
        with atomic_path(output / f"{plan.name}.md") as temporary:
            temporary.write_text(markdown(comparison), "utf-8")

    run_all(plan, folder, jobs=arguments.jobs, watch=write)
    write()
    comparison = collect(plan, folder)
    _plot(comparison, output)
    print(markdown(comparison), end="")
    return DONE


def _plot(comparison: Comparison, output: Path) -> None:
    """Figures are left out, with a word, where matplotlib is not installed."""
    from vheatir.evaluation.results import ResultError
    from vheatir.research.race.figure import plot_comparison

    try:
        plot_comparison(comparison, output)
    except ResultError as error:
        logger.warning("%s", error)


def _costs(arguments: argparse.Namespace) -> int:
    import torch

    from vheatir.research.race.costs import COSTS_FILE, costs_markdown, measure_costs
    from vheatir.research.race.plan import read_plan

    plan = read_plan(arguments.opt)
    output = _output(arguments.output, Path("experiments") / f"compare_{plan.name}")
    checkpoints = {
        run.entry: Path("experiments") / str(run.options["name"]) / "models" / "net_g_latest.pth"
        for run in reversed(plan.runs)  # of the first task and seed
    }
    weights = {entry: path for entry, path in checkpoints.items() if path.is_file()}
    torch.set_num_threads(arguments.threads)
    measured = measure_costs(plan.networks, weights, size=arguments.size)
    COSTS_FILE.write(output / f"{plan.name}_costs.json", measured)
    print(costs_markdown(measured), end="")
    return DONE


def _output(folder: Path | None, default: Path) -> Path:
    return make_folder(default if folder is None else folder, "folder of --output")
