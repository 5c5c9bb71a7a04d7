"""Score weights on test sets from a BasicSR option file.

    python -m vheatir.test -opt options/test/denoise_gray.yml

The averaged weights (``params_ema``) are scored unless ``path.param_key_g`` says otherwise.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from vheatir.train import check_command_line, options_at_fault
from vheatir.training.options import OptionError, check_options

__all__ = ["main"]


def main() -> int:
    """Entry point of ``python -m vheatir.test``; the command line is BasicSR's."""
    try:
        check_command_line(partial(check_options, is_train=False))
        from vheatir.training import registry  # noqa: F401  (makes this project's classes known to BasicSR)
        from vheatir.training.basicsr import test_pipeline

        with options_at_fault():
            test_pipeline(str(Path.cwd()))
    except (OptionError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
