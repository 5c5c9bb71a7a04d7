"""The one door to BasicSR 1.4.2: mends what keeps it from importing today, then hands on what this project uses.

Import BasicSR's names from here, never from ``basicsr`` itself. Three things are mended, each only where it is broken:

* a CPU build of torch beside a torchvision built for CUDA, as :mod:`vheatir.system.torchvision` explains;
* ``torchvision.transforms.functional_tensor``, from which BasicSR takes ``rgb_to_grayscale``, is gone since 0.17;
* ``torch.distributed`` without a GPU: BasicSR's ``init_dist`` divides by the number of GPUs. With none, gloo is used.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from vheatir.system.torchvision import mend_torchvision
from vheatir.training.options import whole_option_file

__all__ = [
    "ARCH_REGISTRY",
    "DATASET_REGISTRY",
    "LOSS_REGISTRY",
    "MODEL_REGISTRY",
    "AvgTimer",
    "MessageLogger",
    "SRModel",
    "build_dataloader",
    "build_dataset",
    "build_model",
    "check_resume",
    "copy_opt_file",
    "dict2str",
    "get_env_info",
    "get_root_logger",
    "get_time_str",
    "init_tb_logger",
    "make_exp_dirs",
    "mkdir_and_rename",
    "parse_options",
    "read_forced_value",
    "test_pipeline",
]


def _restore_functional_tensor() -> None:
    """Give ``torchvision.transforms.functional_tensor`` back, with the one function that BasicSR takes from it."""
    name = "torchvision.transforms.functional_tensor"
    if importlib.util.find_spec(name) is not None:
        return
    module = types.ModuleType(name)
    functional = importlib.import_module("torchvision.transforms.functional")
    module.rgb_to_grayscale = functional.rgb_to_grayscale  # type: ignore[attr-defined]
    sys.modules[name] = module


def _init_dist(launcher: str, backend: str = "nccl", port: int | None = None) -> None:
    """BasicSR's ``init_dist``, and its equivalent for machines without a GPU; ``port`` is SLURM's."""
    if torch.cuda.is_available():
        _basicsr_init_dist(launcher, backend, **({} if port is None else {"port": port}))
    elif launcher == "pytorch":
        torch.distributed.init_process_group(backend="gloo")
    else:
        raise ValueError(f"Without a GPU only --launcher pytorch (torchrun) is supported, not {launcher}.")


mend_torchvision()
_restore_functional_tensor()

import basicsr.utils.options as _options  # noqa: E402
from basicsr.data import build_dataloader, build_dataset  # noqa: E402
from basicsr.models import build_model  # noqa: E402
from basicsr.models.sr_model import SRModel  # noqa: E402
from basicsr.test import test_pipeline as _basicsr_test_pipeline  # noqa: E402
from basicsr.utils import (  # noqa: E402
    AvgTimer,
    MessageLogger,
    check_resume,
    get_env_info,
    get_root_logger,
    get_time_str,
    init_tb_logger,
    make_exp_dirs,
    mkdir_and_rename,
)
from basicsr.utils.dist_util import init_dist as _basicsr_init_dist  # noqa: E402
from basicsr.utils.options import dict2str  # noqa: E402
from basicsr.utils.registry import ARCH_REGISTRY, DATASET_REGISTRY, LOSS_REGISTRY, MODEL_REGISTRY  # noqa: E402

_options.init_dist = _init_dist


@contextmanager
def _whole_file_on_the_command_line() -> Iterator[str | None]:
    """BasicSR reads the file behind ``-opt`` by itself: let it find one without parts.

    Yields:
        The file that stood there, or None without ``-opt``, which BasicSR's parser answers.
    """
    parser = ArgumentParser(add_help=False)
    parser.add_argument("-opt", default=None)
    named, others = parser.parse_known_args(sys.argv[1:])
    if named.opt is None:
        yield None
        return
    arguments = sys.argv
    with whole_option_file(Path(named.opt)) as whole:
        sys.argv = [arguments[0], "-opt", str(whole), *others]
        try:
            yield named.opt
        finally:
            sys.argv = arguments


def parse_options(root_path: str, *, is_train: bool) -> tuple[dict[str, Any], Any]:
    """BasicSR's ``parse_options``: command line and YAML file, with its parts, into one nested dict."""
    with _whole_file_on_the_command_line() as file:
        opt, arguments = _options.parse_options(root_path, is_train=is_train)
    arguments.opt = file
    return opt, arguments


def test_pipeline(root_path: str) -> None:
    """BasicSR's ``test_pipeline``, for option files made of parts too."""
    with _whole_file_on_the_command_line():
        _basicsr_test_pipeline(root_path)


def copy_opt_file(file: str, experiments_root: str) -> None:
    """Keep the option file, and the command, in the experiment's folder: whole, so that it stays true without parts."""
    with whole_option_file(Path(file)) as whole:
        _options.copy_opt_file(str(whole), experiments_root)


def read_forced_value(text: str) -> Any:
    """The value that ``--force_yml`` makes of a text: BasicSR's rules, which are not YAML's."""
    return _options._postprocess_yml_value(text)
