"""``DegradedImageDataset``: clean images in, pairs of degraded and clean crops out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from vheatir.basicsr_compat import DATASET_REGISTRY
from vheatir.data.degradations import (
    Degradation,
    GaussianNoise,
    JpegCompression,
    jpeg_level,
    noise_level,
)
from vheatir.data.evaluation import Task, clean_image, degraded_image
from vheatir.data.sources import CachedSource, ImageSource, open_source, read_name_list

__all__ = ["DegradedImageDataset"]

Image = NDArray[np.uint8]


@DATASET_REGISTRY.register()
class DegradedImageDataset(Dataset[dict[str, Any]]):
    """Clean images of any size and format, degraded on the fly.

    In training, item g of the endless sequence is a crop of an image chosen in proportion to its area, flipped or
    rotated, degraded at random; every draw comes from the seed and g alone, so items are the same for any number of
    workers and a resumed training sees exactly what an unbroken one would have seen. In validation and testing, item
    i is the whole image i, degraded by the field's protocol, the same every time.

    Options (keys of a BasicSR dataset section):

    * ``dataroot_gt``: a folder, an LMDB (``*.lmdb``) or an archive (``*.tar``); or ``dataroots_gt``: a list of them.
    * ``include_list``, ``exclude_list``: text files of image names, one ``folder/file`` a line.
    * ``in_chans``: 1 (gray) or 3 (RGB).
    * ``degradation``: ``type: noise`` with ``sigma: [low, high]``, or with ``sigmas``, a list to choose from; or
      ``type: jpeg`` with ``quality: [low, high]``, ``log_quality``, ``double``, ``subsampling``, ``grid_phase``,
      ``studio_swing``, as :class:`~vheatir.data.degradations.JpegCompression` explains. In validation ``sigma`` and
      ``quality`` are numbers.
    * ``gt_size``: side of the square training crop in pixels.
    * ``cache``: decode every image once and keep it in memory as 8-bit values.
    * ``on_device``: training batches are made on the GPU instead, by :class:`~vheatir.data.device.DeviceBatches`.
    * ``use_hflip``, ``use_rot``: flips, and rotations by 90 degrees.
    * ``seed``: of the training draws.

    Items are dicts: ``lq`` and ``gt``, float32 (in_chans, h, w), RGB; ``level``, float32 scalar, the network's
    condition; ``lq_path`` and ``gt_path``, the image's name.

    Raises:
        FileNotFoundError: if a folder is missing or empty, or no image is left by the lists.
        ValueError: if a level or probability is out of range.
    """

    def __init__(self, opt: Mapping[str, Any]) -> None:
        self.opt = opt
        self.channels = int(opt["in_chans"])
        selected = _select(open_source(_roots(opt)), opt)
        self.source = CachedSource(selected) if opt.get("cache", False) else selected
        if opt["phase"] == "train":
            self.degradation = _training_degradation(opt["degradation"])
            images = (self.source.read(index, self.channels) for index in range(len(self.source.names)))
            self._areas = np.cumsum([image.size for image in images])

    def __len__(self) -> int:
        return len(self.source.names)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._training_item(index) if self.opt["phase"] == "train" else self._evaluation_item(index)

    def _training_item(self, number: int) -> dict[str, Any]:
        rng = np.random.default_rng((self.opt["seed"], number))
        index = int(np.searchsorted(self._areas, rng.integers(self._areas[-1]), side="right"))
        crop = _random_crop(self.source.read(index, self.channels), self.opt["gt_size"] + self.degradation.margin, rng)
        crop = _augment(crop, self.opt["use_hflip"], self.opt["use_rot"], rng)
        degraded, clean, level = self.degradation(crop, rng)
        return self._item(degraded, clean, level, index)

    def _evaluation_item(self, index: int) -> dict[str, Any]:
        options = self.opt["degradation"]
        task: Task = "denoise" if options["type"] == "noise" else "jpeg"
        value = options["sigma" if task == "denoise" else "quality"]
        clean = clean_image(self.source, index, task=task, channels=self.channels)
        degraded = degraded_image(clean, task=task, level=value)
        level = noise_level(value) if task == "denoise" else jpeg_level(value)
        return self._item(degraded, clean, level, index)

    def _item(self, degraded: NDArray[np.float32], clean: Image, level: float, index: int) -> dict[str, Any]:
        name = self.source.names[index]
        return {
            "lq": _to_tensor(degraded),
            "gt": _to_tensor(clean.astype(np.float32) / np.float32(255)),
            "level": torch.tensor(level, dtype=torch.float32),
            "lq_path": name,
            "gt_path": name,
        }


def _roots(opt: Mapping[str, Any]) -> list[str]:
    if (opt.get("dataroot_gt") is None) == (opt.get("dataroots_gt") is None):
        raise ValueError(f"Dataset {opt['name']} needs either dataroot_gt (one folder) or dataroots_gt (a list).")
    return list(opt["dataroots_gt"]) if opt.get("dataroot_gt") is None else [opt["dataroot_gt"]]


def _select(source: ImageSource, opt: Mapping[str, Any]) -> ImageSource:
    included = read_name_list(opt["include_list"]) if opt.get("include_list") else set(source.names)
    excluded = read_name_list(opt["exclude_list"]) if opt.get("exclude_list") else set()
    keep = [index for index, name in enumerate(source.names) if name in included - excluded]
    if not keep:
        raise FileNotFoundError(
            f"The lists of dataset {opt['name']} leave no image: check include_list and exclude_list."
        )
    return source.select(keep)


def _training_degradation(options: Mapping[str, Any]) -> Degradation:
    if options["type"] == "noise" and "sigmas" in options:
        return GaussianNoise(choices=tuple(map(float, options["sigmas"])))
    if options["type"] == "noise":
        low, high = options["sigma"]
        return GaussianNoise(float(low), float(high))
    low, high = options["quality"]
    return JpegCompression(
        int(low),
        int(high),
        double=float(options.get("double", 0.0)),
        subsampling=tuple(map(str, options.get("subsampling", ("420",)))),  # type: ignore[arg-type]  # checked there
        grid_phase=bool(options.get("grid_phase", False)),
        log_quality=bool(options.get("log_quality", False)),
        studio_swing=float(options.get("studio_swing", 0.0)),
    )


def _random_crop(image: Image, size: int, rng: np.random.Generator) -> Image:
    height, width = image.shape[:2]
    if height < size or width < size:
        margins = [(0, max(0, size - height)), (0, max(0, size - width))] + [(0, 0)] * (image.ndim - 2)
        image = np.pad(image, margins, mode="symmetric")
        height, width = image.shape[:2]
    top, left = rng.integers(height - size, endpoint=True), rng.integers(width - size, endpoint=True)
    return image[top : top + size, left : left + size]


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
