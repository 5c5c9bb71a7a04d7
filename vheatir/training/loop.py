"""The training loop, from the command line to the last checkpoint.

A training that is resumed equals one that was never interrupted, bit for bit: data are drawn from (seed, number of the
step), and the random state is part of the training state.
"""

from __future__ import annotations

import importlib
import logging
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vheatir.system.interrupt import StopRequest, stop_on_signals
from vheatir.training.command import Command, checked_command, complete_options, options_at_fault
from vheatir.training.experiment import ProgressLog, begin_experiment, keep_options, logging_to_folder, tensorboard
from vheatir.training.resuming import Found, changes_kept, newest_state, read_state

__all__ = ["MODELS", "Training", "prepared", "step", "train", "validated"]

logger = logging.getLogger(__name__)

#: where the classes stand that an option file may name as its model_type
MODELS: Final = {
    "PyramidModel": "vheatir.training.pyramid_model",
    "RestorationModel": "vheatir.training.restoration_model",
}


@dataclass
class Training:
    """What one training run needs."""

    opt: dict[str, Any]
    model: Any
    batches: Iterator[dict[str, Any]]
    val_loaders: list[Any]
    progress: ProgressLog
    tb_logger: Any
    iteration: int


def train(
    arguments: Namespace, *, check: Callable[[Mapping[str, Any]], None], models: Mapping[str, str] = MODELS
) -> int:
    """Train as a command line says, in the current folder: ``experiments/<name>`` and ``tb_logger/<name>``.

    Ctrl-C or SIGTERM ends it after the step at hand, with a checkpoint to resume from. Processes that train together
    stop at once instead: they would have to agree on the step.

    Args:
        arguments: of ``vheatir train``.
        check: raises an OptionError for a wrong option file.
        models: in which module the class of each ``model_type`` is.

    Returns:
        The exit code: 0, or 128 and the number of the signal that ended it.

    Raises:
        OptionError: if it cannot be trained.
        OSError: if a file is missing or cannot be written.
    """
    with prepared(checked_command(arguments, check), Path.cwd(), models) as run:
        with nullcontext(StopRequest()) if run.opt["dist"] else stop_on_signals() as stop:
            _train(run, stop)
        reason = "interrupted: --auto_resume goes on" if stop else "complete"
        logger.info(f"End of training after {run.iteration:,d} iterations, {reason}.")
    return stop.exit_code


@contextmanager
def prepared(command: Command, root: Path, models: Mapping[str, str] = MODELS) -> Iterator[Training]:
    """All that precedes the first step: make or find the folders below ``root``, load what is resumed, start the log.

    Raises:
        OptionError: if it cannot be trained.
        OSError: if a file is missing or cannot be written.
    """
    from vheatir.training.distributed import leave_group

    opt = complete_options(command, root)
    found = _find_resume_state(opt)
    folder = Path(opt["path"]["experiments_root"])
    if opt["rank"] == 0:
        if found is None:
            begin_experiment(folder, "models", "training_states", "visualization")
        keep_options(command, folder)
    with logging_to_folder(opt), tensorboard(opt, fresh=found is None) as tb_logger:
        for warning in () if found is None else found.warnings:
            logger.warning(warning)
        with options_at_fault():
            run = _build(opt, None if found is None else found.state, models, tb_logger)
        yield run
        leave_group()


def _find_resume_state(opt: dict[str, Any]) -> Found | None:
    """The training state to go on from: the newest one for ``--auto_resume``, or ``path.resume_state``."""
    path = opt["path"].get("resume_state")
    found = None
    if opt["auto_resume"]:
        found = newest_state(Path(opt["path"]["training_states"]), Path(opt["path"]["models"]))
    elif path is not None:
        if not Path(path).is_file():
            raise FileNotFoundError(f"The training state {path} does not exist: change path.resume_state.")
        found = Found(Path(path), read_state(Path(path)))
    if found is not None:
        weights = Path(opt["path"]["models"]) / f"net_g_{found.state['iter']}.pth"
        opt["path"] |= {
            "resume_state": str(found.path),
            "pretrain_network_g": str(weights),
            "param_key_g": "params",
            "strict_load_g": True,
        }
    return found


def _build(opt: dict[str, Any], state: dict[str, Any] | None, models: Mapping[str, str], tb_logger: Any) -> Training:
    from vheatir.training.loading import training_batches, validation_loaders

    iteration = 0 if state is None else int(state["iter"])
    batches = training_batches(opt, iteration)
    val_loaders: list[Any] = list(validation_loaders(opt))
    model = getattr(importlib.import_module(models[opt["model_type"]]), opt["model_type"])(opt)
    if state is not None:
        with changes_kept(model, opt["train"]["scheduler"]):
            model.resume_training(state)
        logger.info(f"Resuming training from iteration {iteration:,d}.")
    return Training(opt, model, batches, val_loaders, ProgressLog(opt, iteration, tb_logger), tb_logger, iteration)


def _train(run: Training, stop: StopRequest) -> None:
    """Train until ``total_iter`` or until the schedule's time is used up; the last step is saved and validated.

    A stop that is asked for saves the step at hand, and leaves what only a complete training makes.
    """
    opt, model = run.opt, run.model
    total_iter = int(opt["train"]["total_iter"])
    start = saved_at = time.monotonic()
    saved, minutes = run.iteration, opt["logger"].get("save_checkpoint_minutes")
    while run.iteration < total_iter and not model.out_of_time and not stop:
        run.iteration += 1
        begun = time.monotonic()
        data_time = step(run)
        run.progress.record(time.monotonic() - begun)
        is_last = run.iteration == total_iter or model.out_of_time
        if run.iteration % opt["logger"]["print_freq"] == 0:
            run.progress.write(model, run.iteration, data_time)
        is_due = minutes is not None and time.monotonic() - saved_at >= 60 * minutes
        if is_last or is_due or run.iteration % opt["logger"]["save_checkpoint_freq"] == 0:
            model.save(run.iteration)
            saved_at, saved = time.monotonic(), run.iteration
        if opt.get("val") is not None and (is_last or run.iteration % opt["val"]["val_freq"] == 0):
            validated(run, run.tb_logger, save_img=opt["val"]["save_img"])
    if run.iteration == total_iter or model.out_of_time:
        model.save_checkpoint("latest")
    elif saved != run.iteration:
        model.save(run.iteration)
    logger.info(f"Trained for {time.monotonic() - start:.0f} s in this run.")


def step(run: Training) -> float:
    """One step of training, number ``run.iteration``; returns the seconds spent waiting for data."""
    run.model.update_learning_rate(run.iteration)
    start = time.monotonic()
    batch = next(run.batches)
    data_time = time.monotonic() - start
    run.model.feed_data(batch)
    run.model.optimize_parameters(run.iteration)
    return data_time


def validated(run: Training, tb_logger: Any = None, *, save_img: bool = False) -> dict[str, dict[str, float]]:
    """Validate: metrics by set; the random state stays, so that a training resumed just before goes on alike."""
    from vheatir.training.random_state import get_random_state, set_random_state

    random_state, scores = get_random_state(), {}
    for loader in run.val_loaders:
        run.model.validation(loader, run.iteration, tb_logger, save_img)
        if run.opt["rank"] == 0:
            scores[str(loader.dataset.opt["name"])] = dict(run.model.metric_results)
    set_random_state(random_state)
    return scores
