"""Train from a BasicSR option file.

    python -m vheatir.train -opt options/train/fast_denoise_gray.yml  # as vheatir train
    torchrun --nproc_per_node=4 -m vheatir.train -opt ... --launcher pytorch

Options, registries, loaders, loggers, metrics, EMA and experiment folders are BasicSR's. The loop is ours because
BasicSR's restarts the epoch when it resumes, does not resume without a GPU, and cannot stop by the clock.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vheatir.system.interrupt import StopRequest, stop_on_signals
from vheatir.training.options import OptionError, force_options, read_options
from vheatir.training.resuming import Found, changes_kept, newest_state, read_state

__all__ = ["Training", "main", "prepare", "step", "train"]


def main() -> int:
    """``python -m vheatir.train`` is ``vheatir train`` with the same arguments."""
    from vheatir.cli.main import main as command

    return command(["train", *sys.argv[1:]])


def check_command_line(check: Callable[[Mapping[str, Any]], None]) -> None:
    """Check the option file and the changes named on the command line before BasicSR reads them.

    Args:
        check: raises an OptionError for options that cannot be used.

    Raises:
        OptionError: naming the key that is wrong.
    """
    _check_installed()
    parser = ArgumentParser(add_help=False)
    parser.add_argument("-opt", type=Path)
    parser.add_argument("--force_yml", nargs="+", default=[])
    arguments, _ = parser.parse_known_args()
    options = force_options(read_options(arguments.opt), arguments.force_yml)
    check(options)
    _check_devices(options["num_gpu"])
    _check_channels(options)


@contextmanager
def options_at_fault() -> Iterator[None]:
    """Constructors say with a ValueError what is wrong with an option: make it an OptionError."""
    try:
        yield
    except ValueError as error:
        raise OptionError(str(error)) from error


def _check_installed() -> None:
    for package in ("basicsr", "msgspec", "yaml"):
        if importlib.util.find_spec(package) is None:
            raise OptionError(f"Training needs {package}: pip install 'vheatir[train]', with Python 3.10 to 3.12.")


def _check_devices(num_gpu: object) -> None:
    import torch

    available = torch.cuda.device_count()
    if num_gpu != "auto" and not (isinstance(num_gpu, int) and 0 <= num_gpu <= available):
        raise OptionError(f"num_gpu is auto or a number up to {available}, the GPUs of this machine, not {num_gpu}.")


def _check_channels(options: Mapping[str, Any]) -> None:
    """Refuse a network and data of different channels, which would end in the first convolution's own words."""
    channels = options["network_g"]["in_chans"]
    for phase, dataset in options["datasets"].items():
        own = dataset.get("in_chans", channels)
        if channels in (1, 3) and own != channels:
            raise OptionError(
                f"in_chans is {own} in datasets.{phase} and {channels} in network_g: make them equal, 1 (gray) or 3."
            )


def train(root: Path) -> int:
    """Train as the command line says, below ``root``: ``experiments/<name>`` and ``tb_logger/<name>``.

    Ctrl-C or SIGTERM ends it after the step at hand, with a checkpoint to resume from. Processes that train together
    stop at once instead: they would have to agree on the step.

    Returns:
        The exit code: 0, or 128 and the number of the signal that ended it.
    """
    run = prepare(root)
    try:
        with nullcontext(StopRequest()) if run.opt["dist"] else stop_on_signals() as stop:
            _run(run, stop)
    finally:
        if run.tb_logger is not None:
            run.tb_logger.close()
    reason = "interrupted: --auto_resume goes on" if stop else "complete"
    logging.getLogger("basicsr").info(f"End of training after {run.iteration:,d} iterations, {reason}.")
    _leave_group()
    return stop.exit_code


def _leave_group() -> None:
    """End distributed training in all processes together: one that exits early aborts another that still listens."""
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()


def prepare(root: Path) -> Training:
    """Do all that precedes the first step: read the command line, make or find the folders, load what is resumed."""
    from vheatir.training import basicsr

    opt, arguments = basicsr.parse_options(str(root), is_train=True)
    opt["root_path"] = str(root)
    found = _find_resume_state(opt)
    if found is None:
        basicsr.make_exp_dirs(opt)
    basicsr.copy_opt_file(arguments.opt, opt["path"]["experiments_root"])
    logger = _start_logger(opt, "train")
    for warning in () if found is None else found.warnings:
        logger.warning(warning)
    with options_at_fault():
        return _build_training(opt, None if found is None else found.state)


@dataclass
class Training:
    """What one training run needs."""

    opt: dict[str, Any]
    model: Any
    batches: Iterator[dict[str, Any]]
    val_loaders: list[Any]
    message_logger: Any
    tb_logger: Any
    iteration: int


def _find_resume_state(opt: dict[str, Any]) -> Found | None:
    """The training state to go on from: the newest one for ``--auto_resume``, or ``path.resume_state``."""
    from vheatir.training.basicsr import check_resume

    path = opt["path"].get("resume_state")
    found = None
    if opt["auto_resume"]:
        found = newest_state(Path(opt["path"]["training_states"]), Path(opt["path"]["models"]))
    elif path is not None:
        if not Path(path).is_file():
            raise FileNotFoundError(f"The training state {path} does not exist: change path.resume_state.")
        found = Found(Path(path), read_state(Path(path)))
    if found is not None:
        opt["path"]["resume_state"] = str(found.path)
        check_resume(opt, found.state["iter"])
    return found


def _start_logger(opt: dict[str, Any], kind: str) -> logging.Logger:
    from vheatir.training import basicsr

    log_file = Path(opt["path"]["log"]) / f"{kind}_{opt['name']}_{basicsr.get_time_str()}.log"
    logger: logging.Logger = basicsr.get_root_logger(
        logger_name="basicsr", log_level=logging.INFO, log_file=str(log_file)
    )
    logger.info(basicsr.get_env_info())
    logger.info(basicsr.dict2str(opt))
    return logger


def _build_training(opt: dict[str, Any], resume_state: dict[str, Any] | None) -> Training:
    from vheatir.training import (
        basicsr,
        registry,  # noqa: F401  (makes this project's classes known to BasicSR)
    )

    iteration = 0 if resume_state is None else int(resume_state["iter"])
    batches = _training_batches(opt, iteration)
    val_loaders = [
        basicsr.build_dataloader(basicsr.build_dataset(dataset), dataset, num_gpu=opt["num_gpu"], dist=opt["dist"])
        for phase, dataset in opt["datasets"].items()
        if phase.split("_")[0] == "val"
    ]
    model = basicsr.build_model(opt)
    if resume_state is not None:
        with changes_kept(model, opt["train"]["scheduler"]):
            model.resume_training(resume_state)
        logging.getLogger("basicsr").info(f"Resuming training from iteration {iteration:,d}.")
    tb_logger = _start_tb_logger(opt, fresh=resume_state is None)
    message_logger = basicsr.MessageLogger(opt, iteration + 1, tb_logger)
    return Training(opt, model, batches, val_loaders, message_logger, tb_logger, iteration)


def _start_tb_logger(opt: dict[str, Any], *, fresh: bool) -> Any:
    """TensorBoard's writer on the first process; the curves of an earlier training of this name are set aside."""
    from vheatir.training import basicsr

    if not opt["logger"]["use_tb_logger"] or opt["rank"] != 0:
        return None
    folder = str(Path(opt["root_path"]) / "tb_logger" / opt["name"])
    if fresh:
        basicsr.mkdir_and_rename(folder)
    return basicsr.init_tb_logger(log_dir=folder)


def _training_batches(opt: dict[str, Any], iteration: int) -> Iterator[dict[str, Any]]:
    """Batches without end, continuing after ``iteration`` steps."""
    from vheatir.data.device import DeviceBatches
    from vheatir.data.sampler import EndlessSampler
    from vheatir.training import basicsr

    dataset_opt = opt["datasets"]["train"]
    dataset = basicsr.build_dataset(dataset_opt)
    logging.getLogger("basicsr").info(f"{len(dataset)} training images in {dataset_opt['name']}.")
    if dataset_opt.get("on_device", False):
        return DeviceBatches(
            dataset.source,
            dataset_opt,
            dataset.degradation,
            device="cpu" if opt["num_gpu"] == 0 else "cuda",
            batch_size=dataset_opt["batch_size_per_gpu"] * (1 if opt["dist"] else max(1, opt["num_gpu"])),
            start=iteration,
            rank=opt["rank"],
        )
    processes = opt["world_size"] if opt["dist"] else max(1, opt["num_gpu"])
    seen = iteration * dataset_opt["batch_size_per_gpu"] * processes
    sampler = EndlessSampler(start=seen, rank=opt["rank"], world_size=opt["world_size"])
    loader = basicsr.build_dataloader(
        dataset, dataset_opt, num_gpu=opt["num_gpu"], dist=opt["dist"], sampler=sampler, seed=opt["manual_seed"]
    )
    return iter(loader)


def _run(run: Training, stop: StopRequest) -> None:
    """Train until ``total_iter`` or until the schedule's time is used up; the last step is saved and validated.

    A stop that is asked for saves the step at hand, and leaves what only a complete training makes.
    """
    from vheatir.training.basicsr import AvgTimer

    opt, model = run.opt, run.model
    total_iter = int(opt["train"]["total_iter"])
    timer, start = AvgTimer(), time.monotonic()
    saved_at, saved, minutes = start, run.iteration, opt["logger"].get("save_checkpoint_minutes")
    while run.iteration < total_iter and not model.out_of_time and not stop:
        run.iteration += 1
        data_time = step(run)
        timer.record()
        is_last = run.iteration == total_iter or model.out_of_time
        if run.iteration % opt["logger"]["print_freq"] == 0:
            _log(run, timer.get_avg_time(), data_time)
        is_due = minutes is not None and time.monotonic() - saved_at >= 60 * minutes
        if is_last or is_due or run.iteration % opt["logger"]["save_checkpoint_freq"] == 0:
            model.save(0, run.iteration)
            saved_at, saved = time.monotonic(), run.iteration
        if opt.get("val") is not None and (is_last or run.iteration % opt["val"]["val_freq"] == 0):
            _validate(run)
        timer.start()
    if run.iteration == total_iter or model.out_of_time:
        model.save(-1, -1)
    elif saved != run.iteration:
        model.save(0, run.iteration)
    logging.getLogger("basicsr").info(f"Trained for {time.monotonic() - start:.0f} s in this run.")


def step(run: Training) -> float:
    """One step of training, number ``run.iteration``; returns the seconds spent waiting for data."""
    run.model.update_learning_rate(run.iteration, warmup_iter=run.opt["train"].get("warmup_iter", -1))
    start = time.monotonic()
    batch = next(run.batches)
    data_time = time.monotonic() - start
    run.model.feed_data(batch)
    run.model.optimize_parameters(run.iteration)
    return data_time


def _log(run: Training, iteration_time: float, data_time: float) -> None:
    # BasicSR reckons the time that is left from this number, less one
    run.message_logger.max_iters = run.model.last_iteration(run.iteration) + 1
    run.message_logger(
        {
            "epoch": 0,
            "iter": run.iteration,
            "lrs": run.model.get_current_learning_rate(),
            "time": iteration_time,
            "data_time": data_time,
            **run.model.get_current_log(),
        }
    )


def _validate(run: Training) -> None:
    """Validate; the random state stays as it is, so that a training resumed just before goes on alike."""
    from vheatir.training.random_state import get_random_state, set_random_state

    random_state = get_random_state()
    for loader in run.val_loaders:
        run.model.validation(loader, run.iteration, run.tb_logger, run.opt["val"]["save_img"])
    set_random_state(random_state)


if __name__ == "__main__":
    sys.exit(main())
