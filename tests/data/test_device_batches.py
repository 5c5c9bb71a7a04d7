"""Batches made on the device, against the dataset that makes them one by one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage import data
from torch import Tensor

from vheatir.data.degradations import Degradation, GaussianNoise, JpegCompression, encode_jpeg
from vheatir.data.device import DeviceBatches, DeviceImages, degrade

CPU = torch.device("cpu")


class Images:
    """A source of images in memory."""

    def __init__(self, images: Sequence[NDArray[np.uint8]]) -> None:
        self.images = list(images)
        self.names = [str(number) for number in range(len(images))]

    def read(self, index: int, channels: int) -> NDArray[np.uint8]:
        image = self.images[index]
        return image if channels == 1 else np.stack([image] * 3, axis=-1)

    def select(self, keep: Sequence[int]) -> Images:
        return Images([self.images[index] for index in keep])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def photo(count: int, size: int) -> Tensor:
    """The same crop of a gray photograph, (count, 1, size, size)."""
    crop = np.ascontiguousarray(data.camera()[100 : 100 + size, 200 : 200 + size])
    return torch.from_numpy(crop).expand(count, 1, size, size)


def psnr(one: Tensor, other: Tensor) -> Tensor:
    """Of each sample."""
    return -10 * torch.log10((one - other).square().flatten(1).mean(1))


# Crops


def numbered(height: int, width: int, start: int) -> NDArray[np.uint8]:
    return (start + np.arange(height * width, dtype=np.uint8)).reshape(height, width)


def test_crops_are_all_the_crops_there_are() -> None:
    """Every place in every image, in each of 8 orientations, and nothing else."""
    images = [numbered(3, 4, 0), numbered(4, 3, 100)]
    store = DeviceImages(Images(images), channels=1, device=CPU)
    crops = store.crops(6000, 2, flip=True, rotate=True, generator=generator())
    expected = set()
    for image in images:
        for top, left in itertools.product(range(image.shape[0] - 1), range(image.shape[1] - 1)):
            crop = image[top : top + 2, left : left + 2]
            for turns in range(4):
                expected |= {np.rot90(crop, turns).tobytes(), np.rot90(crop[:, ::-1], turns).tobytes()}
    assert {crop.numpy().tobytes() for crop in crops} == expected


@pytest.mark.parametrize(("flip", "rotate", "count"), [(False, False, 1), (True, False, 2), (False, True, 4)])
def test_orientations(flip: bool, rotate: bool, count: int) -> None:
    image = numbered(5, 5, 0)
    crops = DeviceImages(Images([image]), channels=1, device=CPU).crops(
        200, 5, flip=flip, rotate=rotate, generator=generator()
    )
    allowed = [np.rot90(image, turns) for turns in range(4)] if rotate else [image, image[:, ::-1]][:count]
    assert {crop.numpy().tobytes() for crop in crops} == {one.tobytes() for one in allowed}


def test_large_images_are_drawn_more_often() -> None:
    images = [np.zeros((10, 10), np.uint8), np.full((10, 30), 255, np.uint8)]
    store = DeviceImages(Images(images), channels=3, device=CPU)
    crops = store.crops(8000, 4, flip=True, rotate=True, generator=generator())
    assert crops.shape == (8000, 3, 4, 4)
    assert float((crops[:, 0, 0, 0] == 255).float().mean()) == pytest.approx(3 / 4, abs=0.02)


def test_small_images_are_continued_by_their_mirror_image() -> None:
    image = numbered(3, 9, 0)
    store = DeviceImages(Images([image]), channels=1, device=CPU)
    crop = store.crops(1, 8, flip=False, rotate=False, generator=generator())[0, 0].numpy()
    padded = np.pad(image, [(0, 5), (0, 0)], mode="symmetric")
    assert crop.tobytes() in {np.ascontiguousarray(padded[:, left : left + 8]).tobytes() for left in (0, 1)}


# Noise


def test_noise_has_the_level_it_says() -> None:
    """White, of zero mean, neither clipped nor rounded, σ uniform in its range."""
    clean = torch.full((3000, 1, 24, 24), 250, dtype=torch.uint8)
    degraded, target, level = degrade(GaussianNoise(5, 55), clean, generator())
    assert torch.equal(target, clean / 255)
    noise = (degraded - target).flatten(1)
    torch.testing.assert_close(noise.std(1) / level, torch.ones(3000), atol=0.15, rtol=0)
    assert float((noise.std(1) / level).mean()) == pytest.approx(1, abs=0.003)
    assert float((noise / level[:, None]).mean()) == pytest.approx(0, abs=0.004)
    assert degraded.max() > 1.3
    sigma = (level * 255).sort().values
    torch.testing.assert_close(sigma, torch.linspace(5, 55, 3000), atol=2, rtol=0)  # Kolmogorov's distance, 4 %


def test_noise_from_a_list() -> None:
    _, _, level = degrade(GaussianNoise(choices=(15.0, 25.0, 50.0)), photo(3000, 8), generator())
    values, counts = (255 * level).round().unique(return_counts=True)
    assert values.tolist() == [15, 25, 50]
    assert counts.min() > 900


# JPEG


def by_the_dataset(degradation: Degradation, clean: Tensor, count: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Levels and PSNR of draws of the CPU's own code."""
    rng = np.random.default_rng(0)
    draws = [degradation(clean[0, 0].numpy(), rng) for _ in range(count)]
    errors = [np.mean((degraded - target.astype(np.float32) / 255) ** 2) for degraded, target, _ in draws]
    return np.array([level for _, _, level in draws]), -10 * np.log10(np.array(errors))


@pytest.mark.parametrize(
    "degradation",
    [
        JpegCompression(10, 95),
        JpegCompression(10, 95, log_quality=True),
        JpegCompression(30, 30, double=0.5, grid_phase=True, studio_swing=0.5),
    ],
    ids=["uniform", "logarithmic", "everything"],
)
def test_jpeg_has_the_statistics_of_the_dataset(degradation: JpegCompression) -> None:
    clean = photo(1500, 32 + degradation.margin)
    degraded, target, level = degrade(degradation, clean, generator())
    assert degraded.shape == target.shape == (1500, 1, 32, 32)
    levels, expected = by_the_dataset(degradation, clean, 1500)
    quantiles = np.linspace(0.05, 0.95, 10)
    assert np.quantile(level.numpy(), quantiles) == pytest.approx(np.quantile(levels, quantiles), abs=0.06)
    ours = psnr(degraded, target).numpy()
    assert ours.mean() == pytest.approx(expected.mean(), abs=0.15)
    assert ours.std() == pytest.approx(expected.std(), rel=0.15)


def test_jpeg_of_a_known_quality() -> None:
    """Without anything random it is OpenCV's, and the clean crop stays."""
    clean = photo(1, 40)
    degraded, target, level = degrade(JpegCompression(20, 20), clean, generator())
    assert level.tolist() == pytest.approx([0.8])
    assert torch.equal(target, clean / 255)
    expected = torch.from_numpy(encode_jpeg(clean[0, 0].numpy(), 20)) / 255
    assert psnr(degraded[0], expected[None]) > 60


def test_studio_swing_narrows_degraded_and_clean_alike() -> None:
    clean = torch.tensor([0, 255], dtype=torch.uint8).repeat_interleave(8).expand(4, 1, 16, 16)
    degraded, target, _ = degrade(JpegCompression(95, 95, studio_swing=1.0), clean, generator())
    assert (target * 255).unique().tolist() == pytest.approx([16, 235])
    assert float((degraded - target).abs().max()) < 0.02


def test_the_grid_may_begin_anywhere() -> None:
    """A second, much milder compression of the shifted crop: the first one's grid shows in 64 places, evenly."""
    clean = photo(2000, 16 + 7)
    _, target, _ = degrade(JpegCompression(50, 50, grid_phase=True), clean, generator())
    places = {clean[0, 0, top : top + 16, left : left + 16].numpy().tobytes() for top in range(8) for left in range(8)}
    assert {(255 * crop).round().to(torch.uint8).numpy().tobytes() for crop in target} == places


def test_both_chroma_subsamplings_are_drawn() -> None:
    image = np.ascontiguousarray(data.coffee()[60:92, 130:162])
    clean = torch.from_numpy(image.transpose(2, 0, 1).copy()).expand(200, 3, 32, 32)
    degraded, _, _ = degrade(JpegCompression(30, 30, subsampling=("420", "444")), clean, generator())
    expected = [
        torch.from_numpy(encode_jpeg(image, 30, kind).transpose(2, 0, 1).copy()) / 255 for kind in ("420", "444")
    ]
    is_first, is_second = (psnr(degraded, kind.expand_as(degraded)) > 60 for kind in expected)
    assert bool((is_first ^ is_second).all())
    assert 70 < int(is_first.sum()) < 130


# Batches


def batches(start: int = 0, **changes: Any) -> DeviceBatches:
    options = {"in_chans": 1, "gt_size": 16, "use_hflip": True, "use_rot": True, "seed": 0} | changes
    rank = int(options.pop("rank", 0))
    degradation = JpegCompression(10, 95, double=0.5, grid_phase=True)
    return DeviceBatches(
        Images([data.camera()]), options, degradation, device="cpu", batch_size=3, start=start, rank=rank
    )


def test_batches_depend_on_seed_step_and_rank_alone() -> None:
    def draw(source: DeviceBatches) -> Tensor:
        return next(source)["lq"]

    torch.manual_seed(1)
    unbroken = batches()
    first, second = draw(unbroken), draw(unbroken)
    torch.manual_seed(2)
    torch.testing.assert_close(draw(batches(start=1)), second, rtol=0, atol=0)
    others = [first, second, draw(batches(seed=1)), draw(batches(rank=1))]
    assert all(not torch.equal(one, other) for one, other in itertools.combinations(others, 2))


def test_batches_have_the_shape_of_the_dataset() -> None:
    batch = next(batches())
    assert {key: tuple(value.shape) for key, value in batch.items()} == {
        "lq": (3, 1, 16, 16),
        "gt": (3, 1, 16, 16),
        "level": (3,),
    }
    assert {value.dtype for value in batch.values()} == {torch.float32}
