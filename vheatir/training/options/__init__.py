"""Option files: read with their parts, changed from the command line, and checked before anything runs."""

from __future__ import annotations

from vheatir.training.options.checks import check_comparison_options, check_options, check_pretraining_options
from vheatir.training.options.errors import OptionError
from vheatir.training.options.files import force_options, read_options, whole_text

__all__ = [
    "OptionError",
    "check_comparison_options",
    "check_options",
    "check_pretraining_options",
    "force_options",
    "read_options",
    "whole_text",
]
