"""Sets of test images: folders, checked against manifests where the set is a known one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vheatir.data.evaluation import Task
from vheatir.data.sources import FolderSource, ImageSource, find_images
from vheatir.evaluation.results import Channels
from vheatir.imageio.formats import IMAGE_SUFFIXES

__all__ = ["ImageEntry", "ImageSet", "Manifest", "SetError", "describe_images", "known_sets", "make_set", "open_set"]

_MANIFESTS: Final = Path(__file__).with_name("data") / "sets"
#: mismatches that are named in one line; a copy in which everything differs would fill pages
_NAMED: Final = 4


class SetError(ValueError):
    """A set of images that cannot be scored; the message names folder or file and the remedy."""


@dataclass(frozen=True)
class ImageEntry:
    """One image of a manifest.

    Attributes:
        name: of the file.
        width: in pixels.
        height: in pixels.
        sha256: of the pixels, RGB, row by row, as OpenCV decodes them (gray: three equal channels), so that the file
            format does not matter.
    """

    name: str
    width: int
    height: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a known set holds.

    Attributes:
        name: of the set.
        source: where the copy came from whose pixels are recorded.
        channels: what is scored by default, by task.
        images: sorted by name.
    """

    name: str
    source: str
    channels: Mapping[Task, Channels]
    images: tuple[ImageEntry, ...]


@dataclass(frozen=True)
class ImageSet:
    """Images that are scored together.

    Attributes:
        name: heading in tables; the manifest's spelling for known sets.
        folder: where the images lie.
        source: the images.
        names: their paths within the folder, in the source's order.
        manifest: None for a set that is not a known one.
        mismatches: what differs from the manifest, a sentence part for each file.
        is_gray: whether every image has three equal channels.
    """

    name: str
    folder: Path
    source: ImageSource
    names: tuple[str, ...]
    manifest: Manifest | None
    mismatches: tuple[str, ...]
    is_gray: bool

    def channels(self, task: Task) -> Channels:
        """What to score if nothing is asked: as the field does, or else what the images are."""
        if self.manifest is not None:
            return self.manifest.channels[task]
        return "gray" if self.is_gray else "color"

    @property
    def provenance(self) -> str:
        """For the protocol line: which images these are."""
        if self.manifest is None:
            return f"{self.name}: own set of {_images(len(self.names))}"
        if not self.mismatches:
            return f"{self.name}: the known {_images(len(self.names))}"
        named = "; ".join(self.mismatches[:_NAMED])
        more = f"; and {len(self.mismatches) - _NAMED} more" if len(self.mismatches) > _NAMED else ""
        return f"{self.name}: NOT THE KNOWN COPY ({named}{more})"


def open_set(name: str, folder: Path) -> ImageSet:
    """Open a folder, with its subfolders, as a set of images; a known name (in any case) is checked.

    Raises:
        SetError: if the folder is missing or holds no image, or an image cannot be decoded.
    """
    folder = folder.expanduser()
    if not folder.is_dir():
        raise SetError(f"The folder {folder} of set {name} does not exist: give NAME=FOLDER with the clean images.")
    paths = find_images(folder)
    if not paths:
        raise SetError(f"The folder {folder} of set {name} holds no image ({', '.join(sorted(IMAGE_SUFFIXES))}).")
    return make_set(name, folder, FolderSource(paths), [path.relative_to(folder).as_posix() for path in paths])


def make_set(name: str, folder: Path, source: ImageSource, names: Sequence[str]) -> ImageSet:
    """Make a set of images that are open already; a known name (in any case) is checked.

    Args:
        name: heading in tables.
        folder: where the images lie, for messages.
        source: the images.
        names: their paths within the folder.

    Raises:
        SetError: if an image cannot be decoded.
    """
    names = tuple(names)
    try:
        found, is_gray = _look(source, names)
    except OSError as error:
        raise SetError(str(error)) from error
    manifest = known_sets().get(name.casefold())
    if manifest is None:
        return ImageSet(name, folder, source, names, None, (), is_gray)
    return ImageSet(manifest.name, folder, source, names, manifest, tuple(_mismatches(found, manifest.images)), is_gray)


@cache
def known_sets() -> Mapping[str, Manifest]:
    """Return the manifests, by the case-folded name of the set."""
    manifests = [_read_manifest(path) for path in sorted(_MANIFESTS.glob("*.json"))]
    return {manifest.name.casefold(): manifest for manifest in manifests}


def describe_images(names: Sequence[str], images: Iterable[NDArray[np.uint8]]) -> tuple[ImageEntry, ...]:
    """Return the manifest's entries of RGB images (H, W, 3)."""
    return tuple(
        ImageEntry(name, image.shape[1], image.shape[0], hashlib.sha256(image.tobytes()).hexdigest())
        for name, image in zip(names, images, strict=True)
    )


def _look(source: ImageSource, names: Sequence[str]) -> tuple[tuple[ImageEntry, ...], bool]:
    """Entries of all images, and whether all are gray; one image is in memory at a time."""
    entries: list[ImageEntry] = []
    is_gray = True
    for index, name in enumerate(names):
        image = source.read(index, 3)
        entries.extend(describe_images([name], [image]))
        is_gray = is_gray and bool((image == image[..., :1]).all())
    return tuple(entries), is_gray


def _read_manifest(path: Path) -> Manifest:
    content = json.loads(path.read_text("utf-8"))
    images = tuple(ImageEntry(**entry) for entry in content["images"])
    return Manifest(content["name"], content["source"], content["channels"], images)


def _mismatches(found: Sequence[ImageEntry], expected: Sequence[ImageEntry]) -> list[str]:
    """Images are recognised by their pixels, under any name; of the others, those of one name belong together."""
    missing = list(expected)
    strangers = []
    for image in found:
        twin = next((other for other in missing if other.sha256 == image.sha256 and _size(other) == _size(image)), None)
        missing.remove(twin) if twin else strangers.append(image)
    sentences = []
    for image in strangers:
        wanted = next((other for other in missing if _stem(other) == _stem(image)), None)
        if wanted is None:
            sentences.append(f"{image.name} does not belong to the set")
            continue
        missing.remove(wanted)
        if _size(wanted) != _size(image):
            sentences.append(f"{image.name} is {_size(image)}, not {_size(wanted)}")
        else:
            sentences.append(f"{image.name} has other pixels")
    return sentences + [f"{image.name} is missing" for image in missing]


def _stem(image: ImageEntry) -> str:
    return Path(image.name).stem.casefold()


def _size(image: ImageEntry) -> str:
    return f"{image.width}x{image.height}"


def _images(number: int) -> str:
    return f"{number} image{'s' if number != 1 else ''}"
