"""Make the README's picture from the example images: degraded above, restored below.

``python examples/make_figure.py docs/before_after.png``
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

import vheatir

EXAMPLES = Path(__file__).parent
SIDE = 256
GAP = 4
#: file, task, its level, top left corner of the crop
CROPS = (
    ("denoise/chelsea_sigma25.png", "sigma", 25, (0, 0)),
    ("denoise/camera_sigma25.png", "sigma", 25, (0, 0)),
    ("jpeg/coffee_q10.jpg", "quality", 10, (60, 120)),
    ("jpeg/astronaut_q20.jpg", "quality", 20, (0, 100)),
)

Image = NDArray[np.uint8]


def main() -> None:
    """Write the figure to the path given on the command line."""
    columns = [_column(*crop) for crop in CROPS]
    gap = np.full((columns[0].shape[0], GAP, 3), 255, np.uint8)
    figure = np.hstack([part for column in columns for part in (column, gap)][:-1])
    cv2.imwrite(sys.argv[1], figure[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])


def _column(name: str, level_name: str, level: int, corner: tuple[int, int]) -> Image:
    """The crop before and after, one above the other: (2 SIDE + GAP, SIDE, 3), RGB."""
    bgr = np.asarray(cv2.imread(str(EXAMPLES / name), cv2.IMREAD_COLOR), dtype=np.uint8)
    degraded = np.ascontiguousarray(bgr[..., ::-1])
    restored = (
        vheatir.restore(degraded, task="denoise", sigma=level)
        if level_name == "sigma"
        else vheatir.restore(degraded, task="jpeg", quality=level)
    )
    top, left = corner
    place = np.s_[top : top + SIDE, left : left + SIDE]
    gap = np.full((GAP, SIDE, 3), 255, np.uint8)
    return np.vstack([degraded[place], gap, restored[place]])


if __name__ == "__main__":
    main()
