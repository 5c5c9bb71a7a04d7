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
from pathlib import Path
from typing import Any

from vheatir.training.options import OptionError

__all__ = ["main"]


def main() -> int:
    """Train, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("options", type=Path, help="training option file")
    parser.add_argument("curve", type=Path, help="curve file to write")
    parser.add_argument("--every", type=float, required=True, help="seconds of training between validations")
    parser.add_argument("--core", type=int, help="processor core to run on (default: any)")
    arguments = parser.parse_args()
    if arguments.core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {arguments.core})
    sys.argv[1:] = ["-opt", str(arguments.options), "--auto_resume"]  # BasicSR reads the command line itself
    try:
        race(Path.cwd(), arguments.curve, every=arguments.every)
    except (OptionError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def race(root: Path, path: Path, *, every: float) -> None:
    """Train as the command line says, below ``root``, and write the curve.

    Args:
        root: holds ``experiments``.
        path: curve file.
        every: seconds of training between validations.
    """
    from vheatir.evaluation.cost.complexity import count_parameters
    from vheatir.evaluation.environment import describe_environment
    from vheatir.research.race.curve import Curve, Point, read_curve, write_curve
    from vheatir.train import prepare, step

    run = prepare(root)
    (clock,) = run.model.schedulers
    network = run.model.get_bare_model(run.model.net_g)
    curve = Curve(count_parameters(network), describe_environment(run.model.device))
    if run.iteration > 0 and path.is_file():
        curve = Curve(curve.parameters, curve.environment, read_curve(path).until(run.iteration).points)
    total_iter, due = int(run.opt["train"]["total_iter"]), _next(clock.seconds, every)
    is_last = run.iteration >= total_iter or run.model.out_of_time  # ended between its last state and the file's end
    while not is_last:
        run.iteration += 1
        step(run)
        is_last = run.iteration >= total_iter or run.model.out_of_time
        if is_last or clock.seconds >= due:
            with clock.paused():
                point = Point(run.iteration, clock.seconds, _validate(run))
                curve = curve.with_point(point, finished=False)
                write_curve(path, curve)
                run.model.save(0, run.iteration)
                _remove_older(run.opt["path"], run.iteration)
            due = _next(clock.seconds, every)
    run.model.save(-1, -1)
    write_curve(path, Curve(curve.parameters, curve.environment, curve.points, finished=True))


def _next(seconds: float, every: float) -> float:
    """The next multiple of ``every``."""
    return (seconds // every + 1) * every


def _validate(run: Any) -> dict[str, float]:
    """PSNR of the averaged weights by validation set; the random state stays as it is."""
    from vheatir.training.random_state import get_random_state, set_random_state

    random_state = get_random_state()
    scores = {}
    for loader in run.val_loaders:
        run.model.validation(loader, run.iteration, None, False)
        scores[str(loader.dataset.opt["name"])] = float(run.model.metric_results["psnr"])
    set_random_state(random_state)
    return scores


def _remove_older(folders: dict[str, str], iteration: int) -> None:
    """Keep the newest state alone: a comparison has many runs, and only their last weights are of use."""
    for folder, keep in (("models", f"net_g_{iteration}.pth"), ("training_states", f"{iteration}.state")):
        for file in Path(folders[folder]).iterdir():
            if file.name != keep and file.suffix in (".pth", ".state"):
                file.unlink()


if __name__ == "__main__":
    sys.exit(main())
