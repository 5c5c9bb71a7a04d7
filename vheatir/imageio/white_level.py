"""What white is in a file of 16 bits a sample, of which cameras, microscopes and scanners fill 10, 12 or 14."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vheatir.imageio.png import is_png, png_chunks
from vheatir.imageio.tiff import directory_of, is_tiff

__all__ = ["restretched", "stretched", "white_level"]

Pixels = npt.NDArray[Any]

_PEAK: Final = 65535
#: bits that pictures are taken with: the fewest that hold all values are assumed
_USUAL_BITS: Final = (8, 10, 12, 14)
#: as many low bits may be the same in all values, which were shifted to the left
_MOST_CONSTANT_BITS: Final = 8
_MAX_SAMPLE_VALUE, _SMAX_SAMPLE_VALUE = 281, 341


def white_level(pixels: Pixels, data: bytes) -> int:
    """Return the value of white: the largest of 16 bits, or less if all values, or the file's tags, say so.

    A dark picture of 16 bits cannot be told from a bright one of 12 by its values: what was assumed has to be said.

    Args:
        pixels: uint16.
        data: the file; a tag of TIFF (MaxSampleValue, SMaxSampleValue) or the chunk sBIT of PNG may name the bits.
    """
    largest = int(pixels.max(initial=0))
    told = [bits for bits in _told_bits(data) if largest < 1 << bits]
    if told or largest == 0:
        return (1 << min(told, default=16)) - 1
    bits = next((bits for bits in _USUAL_BITS if largest < 1 << bits), 16)
    return (1 << bits) - 1 if bits < 16 else _PEAK - _constant_low_part(pixels)


def stretched(pixels: Pixels, white: int) -> Pixels:
    """Return pixels of uint16 whose ``white`` has become 65535."""
    return np.rint(pixels * (_PEAK / white)).astype(np.uint16)


def restretched(pixels: Pixels, white: int) -> Pixels:
    """Return pixels of uint16 whose 65535 has become ``white``: what was stretched comes back."""
    return np.rint(pixels * (white / _PEAK)).astype(np.uint16)


def _told_bits(data: bytes) -> list[int]:
    """Bits of a sample, 2 to 16, as the file tells them; none, or one."""
    if is_png(data):
        sizes = next((content for name, content in png_chunks(data) if name == b"sBIT"), b"")
        return [bits for bits in [max(sizes, default=0)] if 2 <= bits <= 16]
    if not is_tiff(data):
        return []
    fields = directory_of(data)
    named = [max(fields[tag]) for tag in (_MAX_SAMPLE_VALUE, _SMAX_SAMPLE_VALUE) if tag in fields]
    # programs also write the largest value of the picture there, which says nothing
    return [value.bit_length() for value in named if 3 <= value <= _PEAK and value & (value + 1) == 0][:1]


def _constant_low_part(pixels: Pixels) -> int:
    """How far below 65535 the largest number lies whose low bits are those that all values have in common."""
    first = int(pixels.flat[0])
    varying = int(np.bitwise_or.reduce(pixels ^ pixels.dtype.type(first), axis=None))
    constant = (varying & -varying).bit_length() - 1
    mask = (1 << min(constant, _MOST_CONSTANT_BITS)) - 1 if constant > 0 else 0
    return mask - (first & mask)
