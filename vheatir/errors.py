"""What is raised for a request that cannot be carried out, and what is asked of numbers that somebody gives."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import cast

__all__ = ["UsageError", "is_number"]


class UsageError(ValueError):
    """A request that cannot be carried out as it stands; nothing has been done yet."""


def is_number(value: object, low: float, high: float = math.inf, *, is_whole: bool = False) -> bool:
    """Tell whether something, whatever it is, is a number from ``low`` to ``high``; NumPy's are, arrays are not."""
    return isinstance(value, Integral if is_whole else Real) and low <= cast(float, value) <= high
