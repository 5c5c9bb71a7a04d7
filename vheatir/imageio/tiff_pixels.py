"""The pixels of a TIFF file, whatever their layout.

libtiff, through Pillow, undoes the compression alone: it is shown every file as 8-bit gray whose rows are the bytes of
the file's own rows. Planes, tiles, order of bytes, predictor and the meaning of the samples are sorted out here, since
the readings of Pillow and OpenCV go wrong for some of their combinations without a word. What libtiff alone knows how
to unfold (fax, JPEG in colour, YCbCr), Pillow reads as a whole. Anything else is refused.

Source: TIFF 6.0 and its Technical Notes 1 to 3; Adobe Photoshop TIFF Technical Notes (deflate).
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image as Picture
from PIL.TiffImagePlugin import TiffImageFile

from vheatir.imageio.jpeg_damage import jpeg_damage
from vheatir.imageio.metadata import turned_upright
from vheatir.imageio.tiff import directory_of, jpeg_tables, page_count, with_directory

__all__ = ["TiffError", "TiffLayout", "TiffPixels", "read_layout", "read_pixels"]

Array = npt.NDArray[Any]

_SUBFILE_TYPE, _IS_REDUCED = 254, 1
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 256, 257, 258, 259, 262, 266
_OFFSETS, _ORIENTATION, _SAMPLES, _ROWS, _COUNTS, _PLANAR = 273, 274, 277, 278, 279, 284
_SUBSAMPLING = 530
_PREDICTOR, _COLOR_MAP, _TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_COUNTS = 317, 320, 322, 323, 324, 325
_INK_SET, _EXTRA, _FORMAT, _DEPTH = 332, 338, 339, 32997

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
#: photometric interpretation -> its name, and how many samples of a pixel are its colour
_KINDS: Final = {
    _WHITE_IS_ZERO: ("gray", 1),
    _BLACK_IS_ZERO: ("gray", 1),
    _RGB: ("RGB", 3),
    _PALETTE: ("palette", 1),
    _CMYK: ("CMYK", 4),
    _YCBCR: ("YCbCr", 3),
}
_REFUSED_KINDS: Final = {4: "a mask", 8: "Lab colours", 9: "Lab colours", 10: "Lab colours"} | {
    32803: "a camera's raw data",
    34892: "a camera's raw data",
    32844: "a logarithm of light (LogLuv)",
    32845: "a logarithm of light (LogLuv)",
}
_FORMATS: Final = {2: "signed whole", 3: "floating-point", 5: "complex", 6: "complex"}
_ASSOCIATED: Final = 1
#: what packs bytes without a look at the picture: none, LZW, deflate (twice), PackBits, LZMA, Zstandard
_BYTEWISE: Final = frozenset({1, 5, 8, 32946, 32773, 34925, 50000})
#: of these, the ones that a predictor goes with
_PREDICTED: Final = frozenset({5, 8, 32946, 34925, 50000})
_FAX: Final = frozenset({2, 3, 4, 32771})
_JPEG: Final = 7
#: JPEG as TIFF 6.0 had it, and as Technical Note 2 put it right
_PICTURES: Final = frozenset({6, _JPEG})
#: offsets of a classic TIFF end here
_LARGEST: Final = 2**32 - 2**24


class TiffError(ValueError):
    """A TIFF file that cannot be read; the message says, after the name of the file, why, and the remedy."""


@dataclass(frozen=True)
class TiffLayout:
    """How a TIFF file's picture is stored.

    Attributes:
        width: pixels of a row.
        height: rows.
        bits: of a sample.
        samples: of a pixel.
        kind: photometric interpretation.
        is_planar: each sample has a plane of its own.
        compression: TIFF's number of it.
        fields: every field of whole numbers.
    """

    width: int
    height: int
    bits: int
    samples: int
    kind: int
    is_planar: bool
    compression: int
    fields: dict[int, tuple[int, ...]]

    @property
    def name(self) -> str:
        article = "an" if self.bits in (8, 11, 18) else "a"
        planes = " with separate planes" if self.is_planar else ""
        return f"{article} {self.bits}-bit {_KINDS[self.kind][0]} TIFF{planes}"

    @property
    def colors(self) -> int:
        """Samples of a pixel that are its colour; the others are extra ones."""
        return _KINDS[self.kind][1]


@dataclass(frozen=True)
class TiffPixels:
    """What a TIFF file shows, turned upright.

    Attributes:
        pixels: (H, W) gray, (H, W, 3) RGB or (H, W, 4) CMYK, uint8 or uint16.
        alpha: (H, W) of the same type, or None; the colours are not multiplied by it.
        note: what was changed on reading, in words.
    """

    pixels: Array
    alpha: Array | None
    note: str


def read_layout(data: bytes) -> TiffLayout:
    """Read how the picture of a TIFF file is stored, and refuse what is not supported, before anything is unpacked.

    Raises:
        TiffError: if it is damaged, or of a kind that is not supported.
    """
    fields = directory_of(data)
    width, height = (fields.get(tag, (0,))[0] for tag in (_WIDTH, _HEIGHT))
    if width < 1 or height < 1:
        raise TiffError("cannot be read as a TIFF: its directory is damaged or missing; copy it again.")
    if fields.get(_SUBFILE_TYPE, (0,))[0] & _IS_REDUCED:
        raise TiffError("begins with a smaller copy of its picture, as cameras' raw files do; convert it to PNG first.")
    if page_count(data) > 1:
        raise TiffError("has several pages; split it into single images first.")
    kind = fields.get(_PHOTOMETRIC, (_WHITE_IS_ZERO,))[0]
    if kind not in _KINDS:
        what = _REFUSED_KINDS.get(kind, f"colours of kind {kind}")
        raise TiffError(f"is a TIFF that holds {what}; save it as gray, RGB or RGBA first.")
    samples, bits = fields.get(_SAMPLES, (1,))[0], fields.get(_BITS, (1,))
    layout = TiffLayout(
        width=width,
        height=height,
        bits=bits[0],
        samples=samples,
        kind=kind,
        is_planar=fields.get(_PLANAR, (1,))[0] == 2 and samples > 1,
        compression=fields.get(_COMPRESSION, (1,))[0],
        fields=fields,
    )
    _refuse_samples(layout)
    _refuse_packing(layout)
    return layout


def read_pixels(data: bytes, layout: TiffLayout) -> TiffPixels:
    """Decode the picture of a TIFF file.

    Raises:
        TiffError: if its data are damaged.
    """
    if layout.compression == _JPEG:
        _refuse_damaged_jpegs(data, layout)
    try:
        samples = _samples(data, layout)
    except TiffError:
        raise
    except Exception as error:  # whatever Pillow's decoders raise on damaged data
        raise TiffError(f"cannot be decoded, it is damaged ({error}); copy it again.") from error
    samples = turned_upright(samples, _bounded(layout.fields.get(_ORIENTATION, (1,))[0]))
    return _interpreted(samples, layout)


def _refuse_damaged_jpegs(data: bytes, layout: TiffLayout) -> None:
    """libjpeg fills up what is missing in strips and tiles too."""
    tables = jpeg_tables(data)
    is_tiled = _TILE_OFFSETS in layout.fields
    offsets = layout.fields.get(_TILE_OFFSETS if is_tiled else _OFFSETS, ())
    counts = layout.fields.get(_TILE_COUNTS if is_tiled else _COUNTS, ())
    for offset, count in zip(offsets, counts, strict=False):
        strip = data[offset : offset + count]
        damage = jpeg_damage(strip if tables is None else tables[:-2] + strip[2:])  # one SOI, and no EOI between
        if damage is not None:
            raise TiffError(f"{damage}; copy it again.")


def _bounded(orientation: int) -> int:
    return orientation if 1 <= orientation <= 8 else 1


def _refuse_samples(layout: TiffLayout) -> None:
    fields = layout.fields
    kinds = set(fields.get(_FORMAT, ())) & set(_FORMATS)
    if kinds:
        raise TiffError(f"is {layout.name} of {_FORMATS[min(kinds)]} numbers; {_remedy()}")
    widths = set(fields.get(_BITS, (1,)))
    if len(widths) > 1:
        raise TiffError(f"is a TIFF whose channels have {sorted(widths)} bits; {_remedy()}")
    small = {_PALETTE: (1, 2, 4, 8), _WHITE_IS_ZERO: (1, 8, 16), _BLACK_IS_ZERO: (1, 8, 16), _RGB: (8, 16)}
    if layout.bits not in small.get(layout.kind, (8,)) or (layout.bits < 8 and layout.samples > 1):
        raise TiffError(f"is {layout.name}; {_remedy()}")
    extra = layout.samples - layout.colors
    if extra not in (0, 1) or (extra and layout.kind in (_PALETTE, _YCBCR)):
        raise TiffError(
            f"is {layout.name} with {layout.samples} channels; save it as gray, RGB or RGBA, of 8 or 16 bits, first."
        )
    if layout.kind == _CMYK and fields.get(_INK_SET, (1,))[0] != 1:
        raise TiffError("is a TIFF of inks other than CMYK; save it as gray, RGB or RGBA first.")
    if fields.get(_DEPTH, (1,))[0] > 1:
        raise TiffError("is a TIFF of a volume; split it into single images first.")


def _refuse_packing(layout: TiffLayout) -> None:
    compression = layout.compression
    if compression not in _BYTEWISE | _FAX | _PICTURES:
        raise TiffError(f"is {layout.name} of compression {compression}, which is not supported; {_remedy()}")
    if (compression in _FAX and (layout.bits != 1 or layout.kind == _PALETTE)) or (
        compression in _PICTURES and (layout.bits != 8 or layout.kind == _PALETTE)
    ):
        raise TiffError(f"is {layout.name} of compression {compression}, which do not go together; {_remedy()}")
    if _is_whole(layout) and (layout.is_planar or layout.samples != layout.colors):
        raise TiffError(f"is {layout.name} of compression {compression}, which is not supported; {_remedy()}")
    if layout.kind == _YCBCR and compression in _BYTEWISE and layout.fields.get(_SUBSAMPLING, (2, 2)) != (1, 1):
        raise TiffError(f"is {layout.name} of fewer colours than pixels, uncompressed; save it as RGB first.")
    predictor = layout.fields.get(_PREDICTOR, (1,))[0]
    # some readers undo a predictor of data that are not compressed, or by PackBits, and some pass it over
    known = (1, 2) if compression in _PREDICTED and layout.bits >= 8 else (1,)
    if compression in _BYTEWISE and predictor not in known:
        raise TiffError(
            f"is {layout.name} of compression {compression} with predictor {predictor}, which is not supported; "
            f"{_remedy()}"
        )


def _remedy() -> str:
    return "save it with 8 or 16 bits per channel, uncompressed or with LZW, first."


def _is_whole(layout: TiffLayout) -> bool:
    """Tell whether Pillow reads the picture as a whole, since unpacked bytes would not be its samples."""
    if layout.compression == _JPEG and layout.kind in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB):
        return not layout.is_planar and layout.samples > 1
    return layout.compression in _FAX | _PICTURES


def _samples(data: bytes, layout: TiffLayout) -> Array:
    """Samples as they are stored, (H, W, samples): uint8, uint16, or uint8 of 0 to 255 where Pillow reads them."""
    if _is_whole(layout):
        return _whole(data, layout)
    if layout.bits * layout.samples * layout.width > 2**33 or len(data) > _LARGEST:
        raise TiffError("is larger than 4 GiB; split it into smaller images first.")
    if not layout.is_planar:
        return _plane(data, layout, layout.samples, 0)
    return np.concatenate([_plane(data, layout, 1, index) for index in range(layout.samples)], axis=2)


def _whole(data: bytes, layout: TiffLayout) -> Array:
    opened = TiffImageFile(io.BytesIO(data))
    opened.load()
    wanted = {1: "L", 3: "RGB", 4: "CMYK"}[layout.samples]
    if opened.mode not in (wanted, "1", "YCbCr"):
        raise TiffError(f"is {layout.name} that is read as {opened.mode}; {_remedy()}")
    # Pillow turns the picture on reading; what follows expects it as it is stored
    turned = np.asarray(opened if opened.mode == wanted else opened.convert(wanted))
    stored = _turned_back(turned, _bounded(layout.fields.get(_ORIENTATION, (1,))[0]))
    if layout.kind == _WHITE_IS_ZERO:  # Pillow has inverted it already
        stored = ~stored
    return stored.reshape(*stored.shape[:2], -1)


def _turned_back(plane: Array, how: int) -> Array:
    return turned_upright(plane, {6: 8, 8: 6}.get(how, how))


@dataclass(frozen=True)
class _Grid:
    """Strips or tiles of a picture: pixels of one, and how many there are."""

    is_tiled: bool
    width: int
    height: int
    across: int
    down: int


def _grid(layout: TiffLayout) -> _Grid:
    fields = layout.fields
    is_tiled = _TILE_OFFSETS in fields
    if is_tiled:
        width, height = fields.get(_TILE_WIDTH, (0,))[0], fields.get(_TILE_HEIGHT, (0,))[0]
    else:
        width, height = layout.width, min(fields.get(_ROWS, (layout.height,))[0], layout.height)
    # tiles far larger than the picture unfold to any size
    if not 0 < width <= layout.width + 2**14 or not 0 < height <= layout.height + 2**14:
        raise TiffError("cannot be decoded, the sizes of its strips or tiles are damaged; copy it again.")
    return _Grid(is_tiled, width, height, math.ceil(layout.width / width), math.ceil(layout.height / height))


def _plane(data: bytes, layout: TiffLayout, samples: int, index: int) -> Array:
    """One of the planes, or the only one: (H, W, samples)."""
    grid = _grid(layout)
    rows = _unpacked(data, layout, grid, math.ceil(grid.width * samples * layout.bits / 8), index)
    values = _values(rows[: layout.height], layout, data[:2] == b"MM")[..., : grid.width * samples]
    pixels: Array = values.reshape(layout.height, grid.across, grid.width, samples)
    if layout.compression in _PREDICTED and layout.fields.get(_PREDICTOR, (1,))[0] == 2:
        pixels = np.cumsum(pixels, axis=2, dtype=pixels.dtype)  # differences to the left, modulo 2 ** bits
    return pixels.reshape(layout.height, -1, samples)[:, : layout.width]


def _unpacked(data: bytes, layout: TiffLayout, grid: _Grid, row_bytes: int, plane: int) -> Array:
    """Bytes of the rows of a plane's strips or tiles: (H or more, pieces across, bytes of a piece's row)."""
    offsets, counts = _places(layout, len(data), grid, row_bytes, plane)
    height = grid.down * grid.height if grid.is_tiled else layout.height
    fields: dict[int, tuple[int, ...]] = {
        _WIDTH: (grid.across * row_bytes,),
        _HEIGHT: (height,),
        _BITS: (8,),
        _COMPRESSION: (layout.compression,),
        _PHOTOMETRIC: (_BLACK_IS_ZERO,),
        _FILL_ORDER: layout.fields.get(_FILL_ORDER, (1,)),
        _SAMPLES: (1,),
    }
    if grid.is_tiled:
        fields |= {_TILE_WIDTH: (row_bytes,), _TILE_HEIGHT: (grid.height,)}
        fields |= {_TILE_OFFSETS: offsets, _TILE_COUNTS: counts}
    else:
        fields |= {_OFFSETS: offsets, _ROWS: (grid.height,), _COUNTS: counts}
    tables = jpeg_tables(data) if layout.compression == _JPEG else None
    picture = TiffImageFile(io.BytesIO(with_directory(data, fields, tables=tables)))
    picture.load()
    return np.asarray(picture).reshape(height, grid.across, row_bytes)


def _places(
    layout: TiffLayout, size: int, grid: _Grid, row_bytes: int, plane: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Offsets and sizes of the strips or tiles of one plane."""
    fields, pieces = layout.fields, grid.across * grid.down
    offsets = fields.get(_TILE_OFFSETS if grid.is_tiled else _OFFSETS, ())
    # a single strip may leave its size out
    rest = (size - offsets[0],) if len(offsets) == 1 else ()
    counts = fields.get(_TILE_COUNTS if grid.is_tiled else _COUNTS, rest)
    wanted = slice(plane * pieces, (plane + 1) * pieces)
    if min(len(offsets), len(counts)) < wanted.stop:
        raise TiffError("cannot be decoded, some of its strips or tiles are missing; copy it again.")
    offsets, counts = offsets[wanted], counts[wanted]
    # what is not compressed may claim more than there is, and needs its rows, the last strip maybe fewer than others
    rows = [grid.height] * (pieces - 1) + [grid.height if grid.is_tiled else layout.height - grid.height * (pieces - 1)]
    needed = counts if layout.compression != 1 else [row_bytes * count for count in rows]
    if any(offset + count > size for offset, count in zip(offsets, needed, strict=True)):
        raise TiffError("is cut short: its pixels do not reach their end; copy it again.")
    return offsets, counts


def _values(rows: Array, layout: TiffLayout, is_big_endian: bool) -> Array:
    """Unpack bytes (..., n) into samples."""
    if layout.bits == 8:
        return rows
    if layout.bits == 16:
        return np.ascontiguousarray(rows).view(">u2" if is_big_endian else "<u2").astype(np.uint16)
    each = np.unpackbits(rows, axis=-1).reshape(*rows.shape[:-1], -1, layout.bits)
    values: Array = each @ (1 << np.arange(layout.bits - 1, -1, -1)).astype(np.uint8)
    return values * np.uint8(255) if layout.kind != _PALETTE else values


def _interpreted(samples: Array, layout: TiffLayout) -> TiffPixels:
    colors, alpha, note = samples[..., : layout.colors], None, ""
    if layout.samples > layout.colors:
        alpha = np.ascontiguousarray(samples[..., layout.colors])
    if layout.kind == _WHITE_IS_ZERO:
        colors = ~colors
    if layout.kind == _YCBCR and layout.compression in _BYTEWISE:
        colors = np.asarray(Picture.fromarray(np.ascontiguousarray(colors), mode="YCbCr").convert("RGB"))
    if layout.kind == _PALETTE:
        colors = _palette(layout)[samples[..., 0]]
    if alpha is not None and layout.fields.get(_EXTRA, (0,))[0] == _ASSOCIATED:
        colors, note = _divided(colors, alpha), "colours divided by their alpha"
    if colors.shape[2] == 1:
        colors = colors[..., 0]
    return TiffPixels(np.ascontiguousarray(colors), alpha, note)


def _palette(layout: TiffLayout) -> Array:
    entries = np.array(layout.fields.get(_COLOR_MAP, ()), dtype=np.uint16)
    if entries.size != 3 << layout.bits:
        raise TiffError("is a palette TIFF without its palette; save it as RGB first.")
    table = entries.reshape(3, -1).T
    # some programs have written values of 8 bits
    return (table if table.max() < 256 else table >> 8).astype(np.uint8)


def _divided(colors: Array, alpha: Array) -> Array:
    """Colours that were multiplied by alpha as they were before; black where nothing is left of them."""
    peak = np.iinfo(colors.dtype).max
    result = np.empty_like(colors)
    for row, (line, weights) in enumerate(zip(colors, alpha, strict=True)):  # by rows: float copies stay small
        scale = np.divide(peak, weights, out=np.zeros(weights.shape), where=weights > 0)
        result[row] = np.minimum(np.floor(line * scale[:, None] + 0.5), peak)
    return result
