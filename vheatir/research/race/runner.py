"""Running the trainings of a comparison: one after the other, or several at a time, each on a core of its own."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from queue import SimpleQueue
from threading import Event

from vheatir.research.race.curve import CURVE_FILE, CompareError
from vheatir.research.race.plan import Plan, PlannedRun
from vheatir.research.race.results import Comparison, RunResult
from vheatir.system.atomic import atomic_path

__all__ = ["collect", "run_all"]

logger = logging.getLogger(__name__)


def run_all(plan: Plan, folder: Path, *, jobs: int, watch: Callable[[], None]) -> None:
    """Train everything that is not finished yet.

    Args:
        plan: what to train.
        folder: for the runs' option files, curves and logs; made if missing.
        jobs: trainings at a time; with more than one, each stays on a core of its own. All use one thread.
        watch: called after every training.

    Raises:
        CompareError: if a training fails, once those that run beside it have ended; or if the folder holds runs of
            other options.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for run in plan.runs:
        _write_options(run, folder)
    waiting = [run for run in plan.runs if not _is_finished(run, folder)]
    logger.info("%d of %d trainings to run, %d at a time.", len(waiting), len(plan.runs), jobs)
    cores: SimpleQueue[int | None] = SimpleQueue()
    for core in _cores(jobs):
        cores.put(core)

    failed = Event()  # a worker takes the next run before anybody can cancel it

    def work(run: PlannedRun) -> PlannedRun | None:
        core = cores.get()
        try:
            if failed.is_set():
                return None
            _run_one(run, folder, every=plan.validate_every, core=core)
        except BaseException:
            failed.set()
            raise
        finally:
            cores.put(core)
        return run

    with ThreadPoolExecutor(max_workers=jobs) as pool:
        futures = [pool.submit(work, run) for run in waiting]
        try:
            for future in as_completed(futures):
                if (ended := future.result()) is not None:
                    _report(ended, folder)
                    watch()
        except BaseException:
            failed.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def collect(plan: Plan, folder: Path) -> Comparison:
    """What the finished trainings of a plan found, in the plan's order."""
    runs = [
        RunResult(run.entry, run.task, run.seed, CURVE_FILE.read(folder / f"{run.stem}.json"))
        for run in plan.runs
        if _is_finished(run, folder)
    ]
    missing = [run.stem for run in plan.runs if not _is_finished(run, folder)]
    return Comparison(plan.name, plan.minutes, plan.validate_every, runs, missing, plan.clock)


def _write_options(run: PlannedRun, folder: Path) -> None:
    """Write a run's option file, unless it is there; another one there means another comparison of the same name."""
    import yaml

    path, text = folder / f"{run.stem}.yml", yaml.safe_dump(dict(run.options), sort_keys=False)
    if path.is_file() and path.read_text("utf-8") != text:
        raise CompareError(
            f"{path} was made from other options: give the comparison another name, or remove {folder} and the "
            f"experiments of its name."
        )
    with atomic_path(path) as temporary:
        temporary.write_text(text, "utf-8")


def _is_finished(run: PlannedRun, folder: Path) -> bool:
    path = folder / f"{run.stem}.json"
    return path.is_file() and CURVE_FILE.read(path).finished


def _run_one(run: PlannedRun, folder: Path, *, every: float, core: int | None) -> None:
    """Train in a process of its own."""
    files = [str(folder / f"{run.stem}.{suffix}") for suffix in ("yml", "json")]
    command = [sys.executable, "-m", "vheatir.research.race.training", *files, "--every", str(every)]
    command += [] if core is None else ["--core", str(core)]
    log = folder / f"{run.stem}.log"
    with log.open("w", encoding="utf-8") as output:
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environment, stdout=output, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        lines = log.read_text("utf-8", errors="replace").strip().splitlines()
        reason = lines[-1] if lines else f"ended by signal {-done.returncode}"
        raise CompareError(f"The training {run.stem} failed: {reason} The whole output is in {log}.")


def _report(run: PlannedRun, folder: Path) -> None:
    last = CURVE_FILE.read(folder / f"{run.stem}.json").points[-1]
    scores = ", ".join(f"{name} {value:.2f} dB" for name, value in last.psnr.items())
    logger.info("%s: %s after %d steps.", run.stem, scores, last.iteration)


def _cores(jobs: int) -> list[int | None]:
    """The cores that trainings are pinned to; None where there is one training, or no way to pin."""
    if jobs == 1 or not hasattr(os, "sched_getaffinity"):
        return [None] * jobs
    cores = sorted(os.sched_getaffinity(0))
    if jobs > len(cores):
        raise CompareError(f"--jobs is at most the number of cores that may be used, {len(cores)}, not {jobs}.")
    return list(cores[:jobs])
