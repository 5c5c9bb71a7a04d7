"""JPEG compression of batches of tensors, against OpenCV's libjpeg."""

from __future__ import annotations

import io

import cv2
import numpy as np
import PIL.Image
import pytest
import torch
from numpy.typing import NDArray
from skimage import data
from torch import Tensor

from vheatir.data.degradations import Subsampling, encode_jpeg
from vheatir.data.device import compress_jpeg
from vheatir.data.device.jpeg import quantization_tables

QUALITIES = (1, 5, 10, 20, 30, 40, 49, 50, 51, 60, 75, 90, 95, 100)


def to_tensor(image: NDArray[np.uint8]) -> Tensor:
    """(H, W) or (H, W, 3) -> (1, C, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(np.atleast_3d(image).transpose(2, 0, 1)[None]))


def psnr(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    error = float(np.mean((one.astype(np.float64) - other) ** 2))
    return float(10 * np.log10(255**2 / max(error, 1e-10)))


def pictures(height: int, width: int) -> dict[str, NDArray[np.uint8]]:
    """A photograph, one with hard coloured edges, and noise, which reaches every rounding and clipping."""
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return {
        "astronaut": data.astronaut()[60 : 60 + height, 130 : 130 + width],
        "coffee": data.coffee()[60 : 60 + height, 130 : 130 + width],
        "noise": noise,
    }


@pytest.mark.parametrize("name", ["astronaut", "coffee", "noise"])
@pytest.mark.parametrize("subsampling", ["gray", "420", "444"])
@pytest.mark.parametrize(("height", "width"), [(64, 80), (71, 78), (33, 17)])
def test_agrees_with_libjpeg(height: int, width: int, subsampling: str, name: str) -> None:
    """Sides that blocks do not divide too. A build of libjpeg may round otherwise: 1 is allowed here and there."""
    image = pictures(height, width)[name]
    image = image[..., 1] if subsampling == "gray" else image
    kind: Subsampling = "444" if subsampling == "444" else "420"
    batch = to_tensor(image).expand(len(QUALITIES), -1, -1, -1)
    choice = torch.full((len(QUALITIES),), kind == "420")
    ours = compress_jpeg(batch, torch.tensor(QUALITIES), choice).permute(0, 2, 3, 1).numpy()
    for quality, mine in zip(QUALITIES, ours, strict=True):
        reference = encode_jpeg(np.ascontiguousarray(image), quality, kind)
        assert psnr(mine.reshape(reference.shape), reference) > 60, f"quality {quality}"


def test_samples_do_not_depend_on_their_neighbours() -> None:
    image = to_tensor(data.astronaut()[60:100, 130:178])
    quality, kinds = torch.tensor([10, 95, 10, 95]), torch.tensor([True, True, False, False])
    together = compress_jpeg(image.expand(4, -1, -1, -1), quality, kinds)
    for index in range(4):
        assert torch.equal(together[index], compress_jpeg(image, quality[index, None], kinds[index, None])[0])
    assert torch.equal(together[:2], compress_jpeg(image.expand(2, -1, -1, -1), quality[:2]))  # 4:2:0 by default


@pytest.mark.parametrize("quality", range(1, 101))
def test_quantization_tables_are_those_that_libjpeg_writes(quality: int) -> None:
    _, encoded = cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])
    with PIL.Image.open(io.BytesIO(encoded.tobytes())) as image:
        written = image.quantization  # type: ignore[attr-defined]
    for table, expected in zip(quantization_tables(torch.tensor([quality])), written.values(), strict=True):
        assert table[0].flatten().tolist() == expected


def test_quantization_tables() -> None:
    """At 50 the tables are those of the standard, at 100 all ones, at 10 five times those of 50, at most 255."""
    luminance, chrominance = quantization_tables(torch.tensor([50, 100, 10]))
    assert luminance[0, 0, :4].tolist() == [16, 11, 10, 16]
    assert luminance[0, 7, 7] == chrominance[0, 7, 7] == 99
    assert bool((luminance[1] == 1).all())
    assert bool((chrominance[1] == 1).all())
    assert torch.equal(luminance[2], (5 * luminance[0]).clamp(max=255))
