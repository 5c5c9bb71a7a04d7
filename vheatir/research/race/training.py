"""One training of a comparison, in a process of its own; ``vheatir race`` starts it.

    python -m vheatir.research.race.training RUN.yml RUN.json --every 60

It is ``vheatir train`` with a clock that stands still while the network is validated and saved: what counts
is the time spent on training. After every validation the curve and the training's state are written, and the states
before are removed; started again, it goes on from there.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from vheatir.training.command import Command
from vheatir.training.options import OptionError, check_options, read_options

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Train, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("options", type=Path, help="training option file")
    parser.add_argument("curve", type=Path, help="curve file to write")
    parser.add_argument("--every", type=float, required=True, help="seconds of training between validations")
    parser.add_argument("--core", type=int, help="processor core to run on (default: any)")
    arguments = parser.parse_args(argv)
    if arguments.core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {arguments.core})
    try:
        options = read_options(arguments.options)
        check_options(options, is_train=True)
        command = Command(arguments.options, options, launcher="none", auto_resume=True, debug=False)
        race(command, Path.cwd(), arguments.curve, every=arguments.every)
    except (OptionError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def race(command: Command, root: Path, path: Path, *, every: float) -> None:
    """Train as the command line says, below ``root``, and write the curve.

    Args:
        command: what to train.
        root: holds ``experiments``.
        path: curve file.
        every: seconds of training between validations.
    """
    from vheatir.evaluation.environment import describe_environment
    from vheatir.nn.complexity import count_parameters
    from vheatir.research.race.curve import CURVE_FILE, Curve, Point
    from vheatir.training.loop import prepared, step, validated

    with prepared(command, root) as run:
        clock = run.model.scheduler
        network = run.model.get_bare_model(run.model.net_g)
        curve = Curve(count_parameters(network), describe_environment(run.model.device))
        if run.iteration > 0 and path.is_file():
            curve = Curve(curve.parameters, curve.environment, CURVE_FILE.read(path).until(run.iteration).points)
        total_iter, due = int(run.opt["train"]["total_iter"]), _next(clock.seconds, every)
        is_last = run.iteration >= total_iter or run.model.out_of_time  # ended between its last state and its end
        while not is_last:
            run.iteration += 1
            step(run)
            is_last = run.iteration >= total_iter or run.model.out_of_time
            if is_last or clock.seconds >= due:
                with clock.paused():
                    psnr = {name: metrics["psnr"] for name, metrics in validated(run).items()}
                    curve = curve.with_point(Point(run.iteration, clock.seconds, psnr), finished=False)
                    CURVE_FILE.write(path, curve)
                    run.model.save(run.iteration)
                    _remove_older(run.opt["path"], run.iteration)
                due = _next(clock.seconds, every)
        run.model.save_checkpoint("latest")
    CURVE_FILE.write(path, Curve(curve.parameters, curve.environment, curve.points, finished=True))


def _next(seconds: float, every: float) -> float:
    """The next multiple of ``every``."""
    return (seconds // every + 1) * every


def _remove_older(folders: dict[str, str], iteration: int) -> None:
    """Keep the newest state alone: a comparison has many runs, and only their last weights are of use."""
    for folder, keep in (("models", f"net_g_{iteration}.pth"), ("training_states", f"{iteration}.state")):
        for file in Path(folders[folder]).iterdir():
            if file.name != keep and file.suffix in (".pth", ".state"):
                file.unlink()


if __name__ == "__main__":
    sys.exit(main())
