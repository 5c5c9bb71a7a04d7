"""The command line of a training, and the options that follow from it."""

from __future__ import annotations

import copy
import importlib.util
import random
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vheatir.training.options import OptionError, force_options, read_options

__all__ = ["Command", "checked_command", "complete_options", "options_at_fault"]


@dataclass(frozen=True)
class Command:
    """A command line that was read, and its option file, checked.

    Attributes:
        file: the option file.
        options: its content, with its parts and the changes of the command line.
        launcher: who started this process, if it is one of several.
        auto_resume: go on from the newest training state.
        debug: validate, log and save often.
    """

    file: Path
    options: Mapping[str, Any]
    launcher: str
    auto_resume: bool
    debug: bool


def checked_command(arguments: Namespace, check: Callable[[Mapping[str, Any]], None]) -> Command:
    """Read the option file that arguments name, as ``vheatir train`` has them, and change it as they say.

    Args:
        arguments: of the command line.
        check: raises an OptionError for options that cannot be used.

    Raises:
        OptionError: naming what is not installed, or the key that is wrong.
    """
    _check_installed()
    options = force_options(read_options(arguments.opt), arguments.force_yml)
    check(options)
    _check_devices(options["num_gpu"])
    _check_channels(options)
    return Command(arguments.opt, options, arguments.launcher, arguments.auto_resume, arguments.debug)


def complete_options(command: Command, root: Path) -> dict[str, Any]:
    """The options, and under their usual names what follows from the machine, the command and the folder.

    Joins the processes that train together, and seeds all random generators.

    Args:
        command: the command line.
        root: where ``experiments`` is.
    """
    import torch

    from vheatir.training.distributed import join_group, rank_and_size

    opt: dict[str, Any] = copy.deepcopy(dict(command.options))
    join_group(command.launcher, opt.get("dist_params") or {})
    opt["dist"] = command.launcher != "none"
    opt["rank"], opt["world_size"] = rank_and_size()
    if opt.get("manual_seed") is None:
        opt["manual_seed"] = random.randint(1, 10000)
    _seed_generators(opt["manual_seed"] + opt["rank"])
    opt |= {"auto_resume": command.auto_resume, "root_path": str(root)}
    if opt["num_gpu"] == "auto":
        opt["num_gpu"] = torch.cuda.device_count()
    if command.debug:
        _make_brief(opt)
    for phase, dataset in opt["datasets"].items():
        dataset["phase"] = phase.split("_")[0]
        _expand_home(dataset, "dataroot_gt", "dataroot_lq")
    _expand_home(opt["path"], "pretrain_network_g", "resume_state")
    folder = root / "experiments" / opt["name"]
    opt["path"] |= {name: str(folder / name) for name in ("models", "training_states", "visualization")}
    opt["path"]["experiments_root"] = str(folder)
    return opt


@contextmanager
def options_at_fault() -> Iterator[None]:
    """Constructors say with a ValueError what is wrong with an option: make it an OptionError."""
    try:
        yield
    except ValueError as error:
        raise OptionError(str(error)) from error


def _check_installed() -> None:
    for package in ("msgspec", "yaml", "skimage"):
        if importlib.util.find_spec(package) is None:
            raise OptionError(f"Training needs {package}: pip install 'vheatir[train]'.")


def _check_devices(num_gpu: object) -> None:
    import torch

    available = torch.cuda.device_count()
    if num_gpu != "auto" and not (isinstance(num_gpu, int) and 0 <= num_gpu <= available):
        raise OptionError(f"num_gpu is auto or a number up to {available}, the GPUs of this machine, not {num_gpu}.")


def _check_channels(options: Mapping[str, Any]) -> None:
    """Refuse a network and data of different channels, which would end in the first convolution's own words."""
    channels = options["network_g"].get("in_chans")
    for phase, dataset in options["datasets"].items():
        own = dataset.get("in_chans", channels)
        if channels in (1, 3) and own != channels:
            raise OptionError(
                f"in_chans is {own} in datasets.{phase} and {channels} in network_g: make them equal, 1 (gray) or 3."
            )


def _seed_generators(seed: int) -> None:
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)  # of all devices


def _make_brief(opt: dict[str, Any]) -> None:
    opt["name"] = f"debug_{opt['name'].removeprefix('debug_')}"
    if opt.get("val"):
        opt["val"]["val_freq"] = 8
    opt["logger"] |= {"print_freq": 1, "save_checkpoint_freq": 8, "use_tb_logger": False}


def _expand_home(section: dict[str, Any], *keys: str) -> None:
    for key in keys:
        if section.get(key) is not None:
            section[key] = str(Path(section[key]).expanduser())
