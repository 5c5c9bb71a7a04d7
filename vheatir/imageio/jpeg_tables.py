"""The quantisation tables that libjpeg writes: the examples of ITU-T T.81, Annex K, scaled by the quality."""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["CHROMINANCE", "LUMINANCE", "Table", "scaled_table"]

#: steps of the 8 x 8 frequencies, vertical ones down the rows
Table: TypeAlias = tuple[tuple[int, ...], ...]

#: table K.1
LUMINANCE: Final[Table] = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
#: table K.2
CHROMINANCE: Final[Table] = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)


def scaled_table(table: Table, quality: int) -> npt.NDArray[np.int64]:
    """Return libjpeg's baseline table of a quality: scaled in whole percent, rounded, limited to 1..255.

    Args:
        table: one of Annex K.
        quality: 1 to 100; 50 gives the table itself, 75 halves it.

    Returns:
        Shape (8, 8).
    """
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    scaled: npt.NDArray[np.int64] = np.clip((np.array(table) * percent + 50) // 100, 1, 255)
    return scaled
