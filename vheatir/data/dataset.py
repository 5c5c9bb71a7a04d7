"""``DegradedImageDataset``: clean images in, pairs of degraded and clean crops out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from vheatir.data.camera import draw_shot
from vheatir.data.degradations import Degradation, to_unit
from vheatir.data.evaluation import Task, clean_image, degraded_image, told_condition
from vheatir.data.mixture import DegradationMixture, as_color, make_jpeg, make_mixture, make_noise
from vheatir.data.sources import CachedSource, open_dataset
from vheatir.nn.condition import UNKNOWN

__all__ = ["TRAINING_DEGRADATIONS", "DegradedImageDataset"]

Image = NDArray[np.uint8]

#: what makes a degradation for training of a section ``degradation``, by its ``type``
TRAINING_DEGRADATIONS: Final[Mapping[str, Callable[[Mapping[str, Any]], Degradation | DegradationMixture]]] = {
    "noise": make_noise,
    "jpeg": make_jpeg,
    "mixture": make_mixture,
}


class DegradedImageDataset(Dataset[dict[str, Any]]):
    """Clean images of any size and format, degraded on the fly.

    In training, item g of the endless sequence is a crop of an image chosen in proportion to its area, flipped or
    rotated, degraded at random; every draw comes from the seed and g alone, so items are the same for any number of
    workers and a resumed training sees exactly what an unbroken one would have seen. In validation and testing, item
    i is the whole image i, degraded by the field's protocol, the same every time.

    Options (keys of a dataset section):

    * ``dataroot_gt``: a folder, an LMDB (``*.lmdb``) or an archive (``*.tar``); or ``dataroots_gt``: a list of them.
    * ``include_list``, ``exclude_list``: text files of image names, one ``folder/file`` a line.
    * ``in_chans``: 1 (gray) or 3 (RGB).
    * ``degradation``: ``type: noise`` with ``sigma: [low, high]``, or with ``sigmas``, a list to choose from; or
      ``type: jpeg`` with ``quality: [low, high]``, ``log_quality``, ``double``, ``subsampling``, ``grid_phase``,
      ``studio_swing``, as :class:`~vheatir.data.degradations.JpegCompression` explains. In validation ``sigma`` and
      ``quality`` are numbers. Or, in training, ``type: mixture`` with ``gray``, ``withheld`` and ``parts``, a list of
      degradations with a ``share`` each (:class:`~vheatir.data.mixture.DegradationMixture`); in validation,
      ``type: camera`` for photographs by cameras that are the same every time.
    * ``tell``: in validation, for networks that take two levels: ``all`` or ``none``.
    * ``gray``: in validation, gray images as three equal channels.
    * ``crop``: in validation, the square of that side in the middle rather than the whole image.
    * ``gt_size``: side of the square training crop in pixels.
    * ``cache``: decode every image once and keep it in memory as 8-bit values.
    * ``on_device``: training batches are made on the GPU instead, by :class:`~vheatir.data.device.DeviceBatches`.
    * ``use_hflip``, ``use_rot``: flips, and rotations by 90 degrees.
    * ``seed``: of the training draws.

    Items are dicts: ``lq`` and ``gt``, float32 (in_chans, h, w), RGB; ``level``, float32, the network's condition, a
    scalar, or (2,) for a mixture and with ``tell``; ``lq_path`` and ``gt_path``, the image's name; for a mixture
    ``truth``, float32 (2, h/8, w/8), the true levels.

    Raises:
        FileNotFoundError: if a folder is missing or empty, or no image is left by the lists.
        ValueError: if a level or probability is out of range.
    """

    def __init__(self, opt: Mapping[str, Any]) -> None:
        self.opt = opt
        self.channels = int(opt["in_chans"])
        selected = open_dataset(opt)
        self.source = CachedSource(selected) if opt.get("cache", False) else selected
        if opt["phase"] == "train":
            self.degradation = TRAINING_DEGRADATIONS[opt["degradation"]["type"]](opt["degradation"])
            images = (self.source.read(index, self.channels) for index in range(len(self.source.names)))
            self._areas = np.cumsum([image.size for image in images])

    def __len__(self) -> int:
        return len(self.source.names)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._training_item(index) if self.opt["phase"] == "train" else self._evaluation_item(index)

    def _training_item(self, number: int) -> dict[str, Any]:
        rng = np.random.default_rng((self.opt["seed"], number))
        index = int(np.searchsorted(self._areas, rng.integers(self._areas[-1]), side="right"))
        image, size = self.source.read(index, self.channels), self.opt["gt_size"]
        if isinstance(self.degradation, DegradationMixture):
            drawn = self.degradation.draw(rng)
            degraded, clean, told, truth = drawn(self._crop(image, drawn.source_size(size), rng), size, rng)
            return self._item(degraded, clean, told, index) | {"truth": torch.from_numpy(truth)}
        crop = self._crop(image, size + self.degradation.margin, rng)
        degraded, target, level = self.degradation(crop, rng)
        return self._item(degraded, to_unit(target), np.array(level, dtype=np.float32), index)

    def _crop(self, image: Image, size: int, rng: np.random.Generator) -> Image:
        return _augment(_random_crop(image, size, rng), self.opt["use_hflip"], self.opt["use_rot"], rng)

    def _evaluation_item(self, index: int) -> dict[str, Any]:
        options, crop = self.opt["degradation"], self.opt.get("crop")
        if options["type"] == "camera":
            return self._photograph(index, int(self.opt["crop"]))
        task: Task = "denoise" if options["type"] == "noise" else "jpeg"
        value = options["sigma" if task == "denoise" else "quality"]
        clean = clean_image(self.source, index, task=task, channels=1 if self.opt.get("gray") else self.channels)
        if crop is not None:
            clean = _middle(clean, int(crop))
        degraded = degraded_image(clean, task=task, level=value)
        target = to_unit(clean)
        if self.opt.get("gray"):
            degraded, target = as_color(degraded), as_color(target)
        return self._item(degraded, target, told_condition(task, value, self.opt.get("tell")), index)

    def _photograph(self, index: int, size: int) -> dict[str, Any]:
        """The middle of an image, taken by a camera that is the same every time."""
        rng = np.random.default_rng(index)
        shot = draw_shot(rng)
        crop = _middle(self.source.read(index, 3), shot.source_size(size))
        degraded, clean, _ = shot.take(crop, size, rng)
        return self._item(degraded, clean, np.array([UNKNOWN, UNKNOWN], dtype=np.float32), index)

    def _item(
        self, degraded: NDArray[np.float32], clean: NDArray[np.float32], level: NDArray[np.float32], index: int
    ) -> dict[str, Any]:
        name = self.source.names[index]
        return {
            "lq": _to_tensor(degraded),
            "gt": _to_tensor(clean),
            "level": torch.as_tensor(level),
            "lq_path": name,
            "gt_path": name,
        }


def _random_crop(image: Image, size: int, rng: np.random.Generator) -> Image:
    image = _at_least(image, size)
    height, width = image.shape[:2]
    top, left = rng.integers(height - size, endpoint=True), rng.integers(width - size, endpoint=True)
    return image[top : top + size, left : left + size]


def _middle(image: Image, size: int) -> Image:
    """The square in the middle."""
    image = _at_least(image, size)
    top, left = ((side - size) // 2 for side in image.shape[:2])
    return image[top : top + size, left : left + size]


def _at_least(image: Image, size: int) -> Image:
    """Reflect an image that is smaller than ``size``."""
    height, width = image.shape[:2]
    if height >= size and width >= size:
        return image
    margins = [(0, max(0, size - height)), (0, max(0, size - width))] + [(0, 0)] * (image.ndim - 2)
    return np.pad(image, margins, mode="symmetric")


def _augment(crop: Image, flip: bool, rotate: bool, rng: np.random.Generator) -> Image:
    """One of the 8 flips and rotations of a square, evenly where both are allowed."""
    if flip and rng.random() < 0.5:
        crop = crop[:, ::-1]
    if rotate:
        crop = np.rot90(crop, int(rng.integers(4)))
    return crop


def _to_tensor(image: NDArray[np.float32]) -> Tensor:
    """(H, W) or (H, W, C) -> (C, H, W)."""
    channels_first = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(channels_first))
