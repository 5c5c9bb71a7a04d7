"""The folder of a training: what was there is set aside, and what happens is logged."""

from __future__ import annotations

import logging
import platform
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from vheatir.training.command import Command
from vheatir.training.options import OptionError, whole_text

__all__ = ["ProgressLog", "begin_experiment", "keep_options", "logging_to_folder", "tensorboard"]

logger = logging.getLogger(__name__)


def begin_experiment(folder: Path, *names: str) -> None:
    """Make an empty folder with folders in it; one of this name becomes ``<name>_archived_<time>``."""
    if folder.exists():
        folder.rename(f"{folder}_archived_{_now()}")
    for path in (folder, *(folder / name for name in names)):
        path.mkdir(parents=True)


def keep_options(command: Command, folder: Path) -> None:
    """Keep the option file, and the command, in the folder: whole, so that it stays true without parts."""
    head = f"# Begun on {time.ctime()} by:\n# {' '.join(sys.argv)}\n\n"
    (folder / command.file.name).write_text(head + whole_text(command.file), encoding="utf-8")


@contextmanager
def logging_to_folder(opt: Mapping[str, Any]) -> Iterator[None]:
    """Log to standard error and to ``train_<name>_<time>.log``; processes but the first log errors alone."""
    import torch
    import yaml

    from vheatir import __version__

    package = logging.getLogger("vheatir")
    level, propagate = package.level, package.propagate
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    if opt["rank"] == 0:
        file = Path(opt["path"]["experiments_root"]) / f"train_{opt['name']}_{_now()}.log"
        handlers.append(logging.FileHandler(file, encoding="utf-8"))
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s: %(message)s"))
        package.addHandler(handler)
    package.propagate = False  # a command's own log would say it twice
    package.setLevel(logging.INFO if opt["rank"] == 0 else logging.ERROR)
    try:
        logger.info(f"vheatir {__version__}, PyTorch {torch.__version__}, Python {platform.python_version()}")
        logger.info(f"Options:\n{yaml.safe_dump(dict(opt), sort_keys=False, allow_unicode=True)}")
        yield
    finally:
        package.setLevel(level)
        package.propagate = propagate
        for handler in handlers:
            package.removeHandler(handler)
            handler.close()


@contextmanager
def tensorboard(opt: Mapping[str, Any], *, fresh: bool) -> Iterator[Any]:
    """TensorBoard's writer on the first process, or None; the curves of an earlier training of this name are set aside.

    Raises:
        OptionError: if it is not installed.
    """
    if not opt["logger"]["use_tb_logger"] or opt["rank"] != 0:
        yield None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError as error:
        raise OptionError("logger.use_tb_logger needs tensorboard: pip install 'vheatir[train]'.") from error
    folder = Path(opt["root_path"]) / "tb_logger" / opt["name"]
    if fresh:
        begin_experiment(folder)
    writer = SummaryWriter(log_dir=str(folder))
    try:
        yield writer
    finally:
        writer.close()


class ProgressLog:
    """Lines of iteration, learning rate, time that is left, time of a step, and losses; and their curves.

    Args:
        opt: the options.
        start: steps that were done before.
        tb_logger: TensorBoard's writer, or None.
    """

    def __init__(self, opt: Mapping[str, Any], start: int, tb_logger: Any) -> None:
        self._name = opt["name"][:5]
        self._start = start
        self._tb_logger = tb_logger
        self._begun = time.monotonic()
        self._seconds: list[float] = []

    def record(self, seconds: float) -> None:
        """Count a step of this length."""
        self._seconds.append(seconds)

    def write(self, model: Any, iteration: int, data_time: float) -> None:
        """A line about the step at hand; times are means since the last line."""
        rates = "".join(f"{group['lr']:.3e}," for group in model.optimizer_g.param_groups)
        pace = (time.monotonic() - self._begun) / (iteration - self._start)
        left = timedelta(seconds=int(pace * (model.last_iteration(iteration) - iteration)))
        step_time = sum(self._seconds) / len(self._seconds)
        self._seconds.clear()
        losses = "".join(f"{key}: {value:.4e} " for key, value in model.log_dict.items())
        logger.info(
            f"[{self._name}..][epoch:  0, iter:{iteration:8,d}, lr:({rates})] "
            f"[eta: {left}, time (data): {step_time:.3f} ({data_time:.3f})] {losses}"
        )
        if self._tb_logger is not None:
            for key, value in model.log_dict.items():
                self._tb_logger.add_scalar(f"losses/{key}", value, iteration)


def _now() -> str:
    return time.strftime("%Y%m%d_%H%M%S")
