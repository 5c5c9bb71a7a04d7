"""Damage that decoders of JPEG pass over: data that are cut or overwritten, under an end marker that hides it.

libjpeg fills up what is missing with gray and shifts what follows a gap, and says so in warnings that neither Pillow
nor OpenCV hand on. Two changes of the file tell the same. Junk behind the last bits of every piece of entropy-coded
data must change no pixel: it does where the decoder was still waiting for bits. Other bits at the end of a piece must
change pixels: they do not where the decoder had had enough before. Counts of restart markers and the bands of
coefficients that the scans of a progressive file bring are compared with the frame's own. Zeros that lie in the place
of lost sectors are known by what they would mean. Other damage after which the data happen to fit again is not found.

Source: ITU-T T.81, B.1 and B.2 (markers, segments), F.1 and G.1 (scans).
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL.JpegImagePlugin import JpegImageFile

from vheatir.imageio.jpeg import Frame, all_segments, parse_frame, without_notes

__all__ = ["jpeg_damage"]

Array = npt.NDArray[Any]

_DHT, _SOS, _DRI = 0xC4, 0xDA, 0xDD
_RESTARTS: Final = range(0xD0, 0xD8)
_HUFFMAN_FRAMES: Final = frozenset({0xC0, 0xC1, 0xC2})
_SEQUENTIAL_FRAMES: Final = frozenset({0xC0, 0xC1})
_PROGRESSIVE_FRAMES: Final = frozenset({0xC2, 0xCA})
#: no byte of it is 255, which would start a marker; its first bit is no 0, which decoders put where bits are missing
_JUNK: Final = bytes((37 * i + 203) % 251 for i in range(64))
_END_OF_BLOCK: Final = 0
#: bytes at the end of a piece that are changed; as many less one may be left over without harm
_TAIL: Final = 8
#: a piece is examined where as many bytes before its end take so many values: where a picture shows nothing, the codes
#: of nothing follow each other, and other bits may mean nothing too
_EXAMINED: Final = 4 * _TAIL
_FEWEST_VALUES: Final = 8
#: more zeros than a block has that is full of the one coefficient whose code begins with them
_GAP: Final = bytes(24)
#: one of these changes shows in the pixels, if anything does
_CHANGES: Final = (0x55, 0x2A, 0x66)

_CUT: Final = "is cut short or damaged: its JPEG data do not reach their end"
_GAPPED: Final = "is damaged: zeros lie in the place of a part of its JPEG data"
_SHIFTED: Final = "is damaged: a part of its JPEG data fits nowhere, so what follows the damage is out of place"


@dataclass(frozen=True)
class _Scan:
    """A scan: its components' places in the frame, blocks of an MCU, restart interval, and pieces of coded data.

    Attributes:
        components: indices into the frame's.
        bands: first and last coefficient.
        low: bits that later scans still bring.
        interval: MCUs between restart markers, 0 for none.
        pieces: (start, end) of the coded data between markers, fill bytes left out.
        restarts: the numbers of the restart markers.
        zeros_are_codes: nothing but zeros may follow each other in the coded data, the codes of empty blocks.
    """

    components: tuple[int, ...]
    bands: tuple[int, int]
    low: int
    interval: int
    pieces: list[tuple[int, int]]
    restarts: list[int]
    zeros_are_codes: bool


def jpeg_damage(data: bytes) -> str | None:
    """Tell what is wrong with the coded data of a JPEG file whose header is whole; None if nothing is found.

    Files of arithmetic coding, of 12 bits, and lossless ones are looked at less closely, or not at all.

    Args:
        data: the file, from its SOI marker to an EOI marker, see :func:`vheatir.imageio.jpeg.tidied`.

    Returns:
        What is wrong, to stand behind the file's name, without the remedy.
    """
    data = without_notes(data)
    frame, scans = _scans(data)
    if frame is None or not scans:
        return _CUT
    if not _is_covered(frame, scans) or not all(_has_its_pieces(frame, scan) for scan in scans):
        return _CUT
    if frame.marker in _SEQUENTIAL_FRAMES and any(_has_gap(data, scan) for scan in scans):
        return _GAPPED
    if frame.marker not in _HUFFMAN_FRAMES or frame.precision != 8:
        return None
    shown = _decoded(data)
    if shown is None:
        return _CUT
    if not _is_same(shown, _decoded(_with_junk(data, scans))):
        return _CUT
    return None if all(_is_used_up(data, frame, scan, shown, scans) for scan in scans) else _SHIFTED


def _scans(data: bytes) -> tuple[Frame | None, list[_Scan]]:
    """The frame, and every scan up to the end marker, or where the file ends."""
    array = np.frombuffer(data, np.uint8)
    follows = array[1:]
    markers = np.flatnonzero((array[:-1] == 0xFF) & (follows != 0) & (follows != 0xFF))
    frame, interval, scans = None, 0, []
    first_codes: dict[int, int] = {}
    for marker, end, payload in all_segments(data, markers):
        if marker == _DRI and len(payload) >= 2:
            interval = int.from_bytes(payload[:2], "big")
        elif marker == _DHT:
            first_codes |= _first_codes(payload)
        elif marker == _SOS and frame is not None:
            scan = _scan(data, markers, end, payload, frame, interval, first_codes)
            if scan is not None:
                scans.append(scan)
        elif frame is None:
            frame = parse_frame(marker, payload)
    return frame, scans


def _first_codes(payload: bytes) -> dict[int, int]:
    """Of each Huffman table of a segment, by its class and number: the symbol whose code is zeros."""
    found = {}
    while len(payload) > 17:
        found[payload[0]] = payload[17]
        payload = payload[17 + sum(payload[1:17]) :]
    return found


def _scan(
    data: bytes,
    markers: Array,
    start: int,
    payload: bytes,
    frame: Frame,
    interval: int,
    first_codes: Mapping[int, int],
) -> _Scan | None:
    count = payload[0] if payload else 0
    if len(payload) < 4 + 2 * count:
        return None
    names = [component.name for component in frame.components]
    wanted = [payload[1 + 2 * index] for index in range(count)]
    if not wanted or not set(wanted) <= set(names):
        return None
    first, last, approximation = payload[1 + 2 * count : 4 + 2 * count]
    pieces, restarts = [], []
    for at in [*markers[np.searchsorted(markers, start) :].tolist(), len(data)]:
        end = at
        while end > start and data[end - 1] == 0xFF:  # fill bytes
            end -= 1
        pieces.append((start, end))
        if at == len(data) or data[at + 1] not in _RESTARTS:
            break
        restarts.append(data[at + 1] - _RESTARTS.start)
        start = at + 2
    components = tuple(names.index(name) for name in wanted)
    tables = [0x10 | payload[2 + 2 * index] & 0x0F for index in range(count)]
    zeros_are_codes = all(first_codes.get(table) == _END_OF_BLOCK for table in tables)
    return _Scan(components, (first, last), approximation & 0x0F, interval, pieces, restarts, zeros_are_codes)


def _has_gap(data: bytes, scan: _Scan) -> bool:
    """Tell whether zeros stand where no coefficients have such codes; at the end some cameras fill up with them."""
    return not scan.zeros_are_codes and any(_GAP in data[start:end].rstrip(b"\0") for start, end in scan.pieces)


def _is_covered(frame: Frame, scans: list[_Scan]) -> bool:
    """Tell whether the scans bring every coefficient of every component to its last bit."""
    missing = np.full((len(frame.components), 64), 99)
    for scan in scans:
        first, last = scan.bands if frame.marker in _PROGRESSIVE_FRAMES else (0, 63)
        low = scan.low if frame.marker in _PROGRESSIVE_FRAMES else 0
        for component in scan.components:
            missing[component, first : last + 1] = low
    return not missing.any()


def _has_its_pieces(frame: Frame, scan: _Scan) -> bool:
    """Tell whether there are as many restart markers as the restart interval asks for, in their order."""
    expected = math.ceil(math.prod(_units(frame, scan)) / scan.interval) if scan.interval else 1
    is_ordered = all(number == index % 8 for index, number in enumerate(scan.restarts))
    return len(scan.pieces) == expected and is_ordered


def _units(frame: Frame, scan: _Scan) -> tuple[int, int]:
    """Rows and columns of a scan's MCUs (T.81, A.2): a block if it has one component, else as many as are sampled."""
    if len(scan.components) > 1:
        high, wide = frame.vertical * 8, frame.horizontal * 8
        return math.ceil(frame.height / high), math.ceil(frame.width / wide)
    component = frame.components[scan.components[0]]
    height = math.ceil(frame.height * component.vertical / frame.vertical)
    width = math.ceil(frame.width * component.horizontal / frame.horizontal)
    return math.ceil(height / 8), math.ceil(width / 8)


def _unit_size(frame: Frame, scan: _Scan) -> tuple[int, int]:
    """Height and width of a scan's MCU in pixels."""
    if len(scan.components) > 1:
        return 8 * frame.vertical, 8 * frame.horizontal
    component = frame.components[scan.components[0]]
    return 8 * frame.vertical // component.vertical, 8 * frame.horizontal // component.horizontal


def _decoded(data: bytes) -> Array | None:
    """Pixels as Pillow decodes them, silently; None if it cannot."""
    try:
        picture = JpegImageFile(io.BytesIO(data))
        picture.load()
        return np.asarray(picture)
    except Exception:  # noqa: BLE001  # whatever it raises on damaged data
        return None


def _is_same(one: Array, other: Array | None) -> bool:
    return other is not None and np.array_equal(one, other)


def _with_junk(data: bytes, scans: list[_Scan]) -> bytes:
    parts, start = [], 0
    for _, end in (piece for scan in scans for piece in scan.pieces):
        parts += [data[start:end], _JUNK]
        start = end
    return b"".join(parts) + data[start:]


def _is_used_up(data: bytes, frame: Frame, scan: _Scan, shown: Array, scans: list[_Scan]) -> bool:
    """Tell whether other bits at the ends of a scan's pieces show in the pixels, as bits do that were decoded."""
    waiting = np.array([_is_telling(data[start:end]) for start, end in scan.pieces])
    for change in _CHANGES:
        if not waiting.any():
            break
        changed = _decoded(_with_other_tails(data, scan, change, is_last=scan is scans[-1]))
        if changed is None or changed.shape != shown.shape:
            return True
        waiting &= ~_shows(frame, scan, changed, shown)
    return not waiting.any()


def _is_telling(piece: bytes) -> bool:
    return len(piece) >= _EXAMINED and len(set(piece[-_EXAMINED:])) >= _FEWEST_VALUES


def _with_other_tails(data: bytes, scan: _Scan, change: int, *, is_last: bool) -> bytes:
    altered = bytearray(data)
    for start, end in scan.pieces:
        if is_last and end == scan.pieces[-1][1]:  # some cameras fill up the end with zeros
            end = start + len(data[start:end].rstrip(b"\0"))
        for at in range(max(start + 1, end - _TAIL), end):
            # neither the bytes of a stuffed 255 nor a new 255
            if 0xFF not in (altered[at], altered[at - 1], altered[at] ^ change):
                altered[at] ^= change
    return bytes(altered)


def _shows(frame: Frame, scan: _Scan, changed: Array, shown: Array) -> Array:
    """For each piece of a scan: whether a pixel differs that it brings; true where its end brings none."""
    if len(scan.pieces) == 1:  # as in most files; the quick answer
        return np.array([not np.array_equal(changed, shown)])
    differs = (changed != shown).reshape(*shown.shape[:2], -1).any(axis=2)
    starts = np.arange(0, math.prod(_units(frame, scan)), scan.interval)
    brought = np.logical_or.reduceat(_brought(frame, scan, differs), starts)
    visible = _brought(frame, scan, np.ones_like(differs))
    found: Array = brought | ~visible[np.append(starts[1:], len(visible)) - 1]
    return found


def _brought(frame: Frame, scan: _Scan, plane: Array) -> Array:
    """For each MCU of a scan: whether ``plane`` (H, W) is true somewhere that no neighbour has an influence on."""
    rows, columns = _units(frame, scan)
    high, wide = _unit_size(frame, scan)
    padded = np.zeros((rows * high, columns * wide), dtype=bool)
    shown = plane[: rows * high, : columns * wide]
    padded[: shown.shape[0], : shown.shape[1]] = shown
    # colours of lower resolution reach two pixels into the neighbours
    is_mixed = len({(component.horizontal, component.vertical) for component in frame.components}) > 1
    inner = slice(2, -2) if is_mixed else slice(None)
    found: Array = padded.reshape(rows, high, columns, wide)[:, inner, :, inner].any(axis=(1, 3)).ravel()
    return found
