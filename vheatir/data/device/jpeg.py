"""JPEG compression and decompression of batches of tensors, on any device, after libjpeg.

Only what changes pixels is computed: colour conversion, chroma subsampling, the cosine transform of 8 x 8 blocks,
quantisation, and the way back. Entropy coding loses nothing and is left out.

Sources: ITU-T T.81 (the transform); JFIF 1.02 (colour); libjpeg's documented choices:
its quality scale, 16-bit fixed-point colour, subsampling that rounds up and down in turn, "fancy" upsampling by a
triangle filter.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Final

import numpy as np
import torch
from torch import Tensor

from vheatir.imageio.jpeg_tables import CHROMINANCE, LUMINANCE, scaled_table

__all__ = ["compress_jpeg", "quantization_tables"]

_BLOCK: Final = 8

# fractional bits of libjpeg's integer transform: of its constants, and of what its first pass hands on
_CONST_BITS: Final = 13
_PASS_BITS: Final = 2


def compress_jpeg(images: Tensor, quality: Tensor, subsampled: Tensor | None = None) -> Tensor:
    """What libjpeg makes of images of the same size, each at a quality of its own.

    Args:
        images: uint8, shape (B, 1, H, W) gray or (B, 3, H, W) RGB; H and W at least 5 where chroma is subsampled.
        quality: shape (B,), whole numbers 1 to 100, on the device of ``images``.
        subsampled: shape (B,), bool: 4:2:0 where true, 4:4:4 where false; all 4:2:0 if None. Without effect on gray.

    Returns:
        uint8, shape of ``images``.
    """
    tables = quantization_tables(quality)
    if images.shape[1] == 1:
        return _round_trip(images[:, 0].int(), tables[0]).to(torch.uint8)[:, None]
    luma, blue, red = _rgb_to_ycc(images.int())
    luma = _round_trip(luma, tables[0])
    chroma = torch.stack([blue, red], dim=1)
    chroma = _round_trip_chroma(chroma, tables[1][:, None], subsampled)
    return _ycc_to_rgb(luma, chroma[:, 0], chroma[:, 1])


def quantization_tables(quality: Tensor) -> tuple[Tensor, Tensor]:
    """Quantisation steps on libjpeg's quality scale.

    Args:
        quality: shape (B,), whole numbers 1 to 100.

    Returns:
        For luminance and for chrominance: int32, shape (B, 8, 8), 1 to 255.
    """
    luminance, chrominance = _tables_of_all_qualities(quality.device)[:, quality.long() - 1]
    return luminance, chrominance


@cache
def _tables_of_all_qualities(device: torch.device) -> Tensor:
    """Both tables at quality 1, 2, ... 100: int32, (2, 100, 8, 8). To look one up keeps no GPU waiting."""
    tables = [[scaled_table(table, quality) for quality in range(1, 101)] for table in (LUMINANCE, CHROMINANCE)]
    return torch.from_numpy(np.array(tables, dtype=np.int32)).to(device)


def _round_trip_chroma(chroma: Tensor, tables: Tensor, subsampled: Tensor | None) -> Tensor:
    """Compress and decompress int32 planes (B, 2, H, W), at half the size where ``subsampled`` says so."""
    height, width = chroma.shape[-2:]
    coarse = _round_trip(_halve(chroma), tables)[..., : -(-width // 2)]
    coarse = _double(coarse)[..., :height, :width]
    if subsampled is None:
        return coarse
    return torch.where(subsampled[:, None, None, None], coarse, _round_trip(chroma, tables))


def _round_trip(planes: Tensor, tables: Tensor) -> Tensor:
    """Transform, quantise and transform back int32 planes (..., H, W) of 0 to 255, with tables (..., 8, 8)."""
    height, width = planes.shape[-2:]
    padded = _extend(planes, _BLOCK * -(-height // _BLOCK), _BLOCK * -(-width // _BLOCK))
    # (..., rows of blocks, columns of blocks, 8, 8)
    blocks = padded.unflatten(-1, (-1, _BLOCK)).unflatten(-3, (-1, _BLOCK)).transpose(-3, -2).double() - 128
    restored = _inverse_dct(_quantize(_dct(blocks), tables[..., None, None, :, :])) + 128
    pixels = restored.clamp(0, 255).int()
    return pixels.transpose(-3, -2).flatten(-2).flatten(-3, -2)[..., :height, :width]


def _quantize(eighths: Tensor, steps: Tensor) -> Tensor:
    """The coefficients that a decoder sees, from eighths of coefficients; halves are rounded away from zero."""
    return eighths.sign() * ((eighths.abs() + 4 * steps) / (8 * steps)).floor() * steps


def _dct(blocks: Tensor) -> Tensor:
    """Eightfold DCT of blocks (..., 8, 8): rows, then columns, each pass rounded to whole numbers."""
    matrix = _integer_dct(blocks.device)
    rows = _shift(blocks @ matrix.T, _CONST_BITS - _PASS_BITS)
    return _shift((rows.mT @ matrix.T).mT, _CONST_BITS + _PASS_BITS)


def _inverse_dct(coefficients: Tensor) -> Tensor:
    """Inverse DCT of blocks (..., 8, 8): columns, then rows, each pass rounded."""
    matrix = _integer_dct(coefficients.device)
    columns = _shift((coefficients.mT @ matrix).mT, _CONST_BITS - _PASS_BITS)
    return _shift(columns @ matrix, _CONST_BITS + _PASS_BITS + 3)


def _shift(values: Tensor, bits: int) -> Tensor:
    """Divide by a power of two, rounded half up."""
    return (values * 2.0**-bits + 0.5).floor()


@cache
def _integer_dct(device: torch.device) -> Tensor:
    """``2^13 sqrt(8)`` times the orthonormal DCT-II, a frequency a row, with the rounding of libjpeg's multipliers.

    Its factorisation (Loeffler, Ligtenberg and Moschytz, ICASSP 1989) multiplies by twelve constants, each rounded to
    13 bits; sums of integers lose nothing, so that a pass is the product with one matrix of integers.

    Returns:
        float64, which holds all the sums exactly; shape (8, 8).
    """
    c = [math.sqrt(2) * math.cos(math.pi * k / 16) for k in range(_BLOCK)]
    f = [round(2**_CONST_BITS * value) for value in (c[6], c[2] - c[6], c[2] + c[6], c[3])]
    common, plus, minus, mixed = f
    # outputs 1, 3, 5, 7 from the differences of samples 0 and 7, 1 and 6, 2 and 5, 3 and 4
    own = (c[1] + c[3] - c[5] - c[7], c[1] + c[3] + c[5] - c[7], c[1] + c[3] - c[5] + c[7], -c[1] + c[3] + c[5] - c[7])
    odd = torch.diag(torch.tensor([round(2**_CONST_BITS * value) for value in own], dtype=torch.float64))
    shared = {(0, 3): c[7] - c[3], (1, 2): -c[1] - c[3], (1, 3): -c[3] - c[5], (0, 2): c[5] - c[3]}
    for pair, value in shared.items():
        rounded = round(2**_CONST_BITS * value)
        for row in pair:
            for column in pair:
                odd[row, column] += rounded
    # the sum of all four enters every output once
    odd += mixed
    one = 2**_CONST_BITS
    even = torch.tensor(
        [
            [one, one, one, one],
            [common + plus, common, -common, -common - plus],
            [one, -one, -one, one],
            [common, common - minus, minus - common, -common],
        ],
        dtype=torch.float64,
    )
    matrix = torch.empty(_BLOCK, _BLOCK, dtype=torch.float64)
    matrix[0::2] = torch.cat([even, even.flip(1)], dim=1)
    matrix[1::2] = torch.cat([odd, -odd.flip(1)], dim=1)
    return matrix.to(device)


def _extend(planes: Tensor, height: int, width: int) -> Tensor:
    """Repeat the last row and column until planes (..., H, W) have this size."""
    rows = torch.arange(height, device=planes.device).clamp(max=planes.shape[-2] - 1)
    columns = torch.arange(width, device=planes.device).clamp(max=planes.shape[-1] - 1)
    return planes[..., rows[:, None], columns]


def _halve(planes: Tensor) -> Tensor:
    """Mean of 2 x 2 pixels; halves are rounded down in even columns and up in odd ones, as libjpeg does."""
    height, width = planes.shape[-2:]
    # the columns are filled up before they are halved, the rows afterwards
    planes = _extend(planes, height + height % 2, 2 * _BLOCK * -(-width // (2 * _BLOCK)))
    total = planes.unflatten(-1, (-1, 2)).sum(-1, dtype=torch.int32)
    total = total.unflatten(-2, (-1, 2)).sum(-2, dtype=torch.int32)
    bias = 1 + torch.arange(total.shape[-1], device=planes.device, dtype=torch.int32) % 2
    halved: Tensor = (total + bias) >> 2
    return halved


def _double(planes: Tensor) -> Tensor:
    """Twice the size by a triangle filter, 3/4 of the nearer and 1/4 of the farther pixel; libjpeg's rounding."""
    above = torch.cat([planes[..., :1, :], planes[..., :-1, :]], dim=-2)
    below = torch.cat([planes[..., 1:, :], planes[..., -1:, :]], dim=-2)
    rows = torch.stack([3 * planes + above, 3 * planes + below], dim=-2).flatten(-3, -2)
    left = torch.cat([rows[..., :1], rows[..., :-1]], dim=-1)
    right = torch.cat([rows[..., 1:], rows[..., -1:]], dim=-1)
    return torch.stack([(3 * rows + left + 8) >> 4, (3 * rows + right + 7) >> 4], dim=-1).flatten(-2)


def _fixed(factor: float) -> int:
    return round(factor * 2**16)


def _rgb_to_ycc(rgb: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """JFIF's Y, Cb, Cr of int32 (B, 3, H, W), in 16-bit fixed point; all int32 (B, H, W), 0 to 255."""
    red, green, blue = rgb.unbind(1)
    half, center = 2**15, (128 << 16) + 2**15 - 1
    luma = (_fixed(0.29900) * red + _fixed(0.58700) * green + _fixed(0.11400) * blue + half) >> 16
    to_blue = (half * blue - _fixed(0.16874) * red - _fixed(0.33126) * green + center) >> 16
    to_red = (half * red - _fixed(0.41869) * green - _fixed(0.08131) * blue + center) >> 16
    return luma, to_blue, to_red


def _ycc_to_rgb(luma: Tensor, blue: Tensor, red: Tensor) -> Tensor:
    """The inverse: uint8 (B, 3, H, W)."""
    blue, red, half = blue - 128, red - 128, 2**15
    green_part = (half - _fixed(0.34414) * blue - _fixed(0.71414) * red) >> 16
    channels = (
        luma + ((_fixed(1.40200) * red + half) >> 16),
        luma + green_part,
        luma + ((_fixed(1.77200) * blue + half) >> 16),
    )
    return torch.stack(channels, dim=1).clamp(0, 255).to(torch.uint8)
