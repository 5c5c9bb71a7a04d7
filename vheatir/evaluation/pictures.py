"""A picture of what methods made of one image: all of them side by side, and enlarged where they differ most."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vheatir.system.atomic import atomic_path

__all__ = ["write_comparison"]

Array = NDArray[Any]
Picture = NDArray[np.uint8]

#: width of a panel; the crop's sides are a quarter of it, so that its pixels are enlarged four times
_WIDTH: Final = 384
_CROP: Final = 96
_GAP: Final = 8
_TITLE_HEIGHT: Final = 28
_FONT_SIZE: Final = 18


def write_comparison(path: Path, panels: Sequence[tuple[str, NDArray[Any]]]) -> None:
    """Write panels side by side with their titles, and below each the same square, four times enlarged.

    The square is where the methods differ most from each other: the panels between the first, the degraded image, and
    the last, the truth. A single method is compared with the truth. A frame shows the place in every panel.

    Args:
        path: PNG file, written atomically.
        panels: title and image, (H, W) or (H, W, 3) RGB, uint8 or float in [0, 1]; all of one height and width.

    Raises:
        ValueError: if there are no panels, or their sizes differ.
        OSError: if it cannot be written.
    """
    if not panels:
        raise ValueError("A picture needs one panel or more.")
    images = [_rgb(image) for _, image in panels]
    sizes = {title: image.shape[:2] for (title, _), image in zip(panels, images, strict=True)}
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{title} {width}x{height}" for title, (height, width) in sizes.items())
        raise ValueError(f"Panels of one picture have one size, not {listed}.")
    place = _place(images)
    columns = [_column(title, image, place) for (title, _), image in zip(panels, images, strict=True)]
    gap = np.full((columns[0].shape[0], _GAP, 3), 255, np.uint8)
    picture = np.concatenate([part for column in columns for part in (column, gap)][:-1], axis=1)
    with atomic_path(path) as temporary:
        Image.fromarray(picture).save(temporary, format="PNG", optimize=True)


def _rgb(image: Array) -> Picture:
    if np.issubdtype(image.dtype, np.floating):
        image = np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)
    three = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
    return np.ascontiguousarray(three, dtype=np.uint8)


def _place(images: Sequence[Picture]) -> tuple[int, int, int]:
    """Top, left and side of the square in which the methods differ most: largest summed standard deviation."""
    compared = images[1:-1] if len(images) >= 4 else images[1:] if len(images) == 3 else images
    deviation = np.std(np.stack(compared).astype(np.float32), axis=0).sum(axis=-1)
    side = min(_CROP, *deviation.shape)
    sums = cv2.boxFilter(deviation, -1, (side, side), anchor=(0, 0), normalize=False)
    inside = sums[: deviation.shape[0] - side + 1, : deviation.shape[1] - side + 1]
    top, left = np.unravel_index(int(np.argmax(inside)), inside.shape)
    return int(top), int(left), side


def _column(title: str, image: Picture, place: tuple[int, int, int]) -> Picture:
    """Title, whole image with the frame, and the enlarged square, one above the other."""
    top, left, side = place
    crop = image[top : top + side, left : left + side]
    enlarged = cv2.resize(crop, (_WIDTH, _WIDTH), interpolation=cv2.INTER_NEAREST)
    gap = np.full((_GAP, _WIDTH, 3), 255, np.uint8)
    return np.concatenate([_heading(title), _framed(image, place), gap, enlarged])


def _framed(image: Picture, place: tuple[int, int, int]) -> Picture:
    """The whole image at the panel's width, with a white frame within a black one: seen on any background."""
    height, width = image.shape[:2]
    scale = _WIDTH / width
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    whole = cv2.resize(image, (_WIDTH, max(1, round(height * scale))), interpolation=interpolation)
    top, left, side = (round(value * scale) for value in place)
    corners = (left, top), (left + side - 1, top + side - 1)
    for color, thickness in (((0, 0, 0), 4), ((255, 255, 255), 2)):
        cv2.rectangle(whole, *corners, color, thickness)
    return np.asarray(whole, dtype=np.uint8)


def _heading(title: str) -> Picture:
    strip = Image.new("RGB", (_WIDTH, _TITLE_HEIGHT), "white")
    font = ImageFont.load_default(_FONT_SIZE)
    ImageDraw.Draw(strip).text((_WIDTH / 2, _TITLE_HEIGHT / 2), title, fill="black", font=font, anchor="mm")
    return np.asarray(strip, dtype=np.uint8)
