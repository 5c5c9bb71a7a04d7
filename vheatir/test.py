"""Score weights on test sets from an option file.

    python -m vheatir.test -opt options/test/denoise_gray.yml

The averaged weights (``params_ema``) are scored unless ``path.param_key_g`` says otherwise.
"""

from __future__ import annotations

import importlib
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from vheatir.training.command import Command, add_arguments, checked_command, complete_options, options_at_fault
from vheatir.training.experiment import begin_experiment, logging_to_folder
from vheatir.training.loop import MODELS
from vheatir.training.options import OptionError, check_options

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Test as a command line says, in the current folder: ``results/<name>``. Returns the exit code."""
    parser = ArgumentParser(description="Score weights on test sets from an option file.")
    add_arguments(parser)
    arguments = parser.parse_args(argv)
    try:
        _test(checked_command(arguments, partial(check_options, is_train=False)))
    except (OptionError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def _test(command: Command) -> None:
    from vheatir.training.loading import evaluation_loaders

    opt = complete_options(command, Path.cwd(), is_train=False)
    begin_experiment(Path(opt["path"]["results_root"]), "visualization")
    with logging_to_folder(opt, "test"), options_at_fault():
        loaders = evaluation_loaders(opt)
        model = getattr(importlib.import_module(MODELS[opt["model_type"]]), opt["model_type"])(opt)
        for loader in loaders:
            model.validation(loader, None, save_img=opt["val"]["save_img"])


if __name__ == "__main__":
    sys.exit(main())
