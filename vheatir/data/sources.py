"""Clean images by number, from folders of files, from a tar archive or from an LMDB in BasicSR's layout."""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from vheatir.imageio.formats import IMAGE_SUFFIXES

__all__ = [
    "CachedSource",
    "FolderSource",
    "ImageSource",
    "LmdbSource",
    "TarSource",
    "find_images",
    "find_in_folders",
    "open_dataset",
    "open_source",
    "read_name_list",
]

Image = NDArray[np.uint8]


class ImageSource(Protocol):
    """Images that are told apart by a name, ``folder/file.png`` or an LMDB key."""

    @property
    def names(self) -> Sequence[str]: ...

    def read(self, index: int, channels: int) -> Image:
        """Image ``index`` as (H, W) for 1 channel or (H, W, 3) RGB for 3 channels, 8 bits."""
        ...

    def select(self, keep: Sequence[int]) -> ImageSource:
        """The same source with only these of its images."""
        ...


class FolderSource:
    """Image files.

    Args:
        paths: the files, in order.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = list(paths)
        self.names: Sequence[str] = [f"{path.parent.name}/{path.name}" for path in self.paths]

    def read(self, index: int, channels: int) -> Image:
        path = self.paths[index]
        return _decode(np.fromfile(path, dtype=np.uint8), channels, str(path))

    def select(self, keep: Sequence[int]) -> FolderSource:
        return FolderSource([self.paths[index] for index in keep])


class LmdbSource:
    """An LMDB in BasicSR's layout: encoded images under their names, listed in ``meta_info.txt``.

    Args:
        root: folder of the database, ending in ``.lmdb``.
        names: which of its images to use, in order; all of them if None.

    Raises:
        FileNotFoundError: if the folder has no ``meta_info.txt``.
    """

    def __init__(self, root: Path, names: Sequence[str] | None = None) -> None:
        listing = root / "meta_info.txt"
        if not listing.is_file():
            raise FileNotFoundError(f"{root} has no meta_info.txt: make the database again with vheatir prepare.")
        self.root = root
        # lines are "name (height,width,channels) compression level", and a name may hold spaces
        lines = listing.read_text(encoding="utf-8").splitlines()
        everything = [line.rsplit(" ", 2)[0] for line in lines if line.strip()]
        self.names: Sequence[str] = everything if names is None else list(names)

    def read(self, index: int, channels: int) -> Image:
        name = self.names[index]
        with _open_database(self.root.resolve()).begin(write=False) as transaction:
            encoded = transaction.get(str(PurePosixPath(name).with_suffix("")).encode("ascii"))
        if encoded is None:
            raise OSError(f"{self.root} lists {name} and does not hold it: make the database again.")
        return _decode(np.frombuffer(encoded, dtype=np.uint8), channels, f"{self.root}:{name}")

    def select(self, keep: Sequence[int]) -> LmdbSource:
        return LmdbSource(self.root, [self.names[index] for index in keep])


class TarSource:
    """Encoded images in an uncompressed tar archive, as ``vheatir pack`` writes them.

    A member is called by its own name, whatever format it holds; other members are passed over.

    Args:
        path: the archive.
        names: which of its images to use, in order; all of them if None.

    Raises:
        OSError: if the file is no uncompressed tar archive, or is cut short.
    """

    def __init__(self, path: Path, names: Sequence[str] | None = None) -> None:
        self.path = path
        try:
            with tarfile.open(path, "r:") as archive:
                members = [member for member in archive.getmembers() if member.isfile()]
        except tarfile.TarError as error:
            raise OSError(f"{path} is not a whole, uncompressed tar archive: pack the images again.") from error
        images = [member for member in members if Path(member.name).suffix.lower() in IMAGE_SUFFIXES]
        self._places = {member.name: (member.offset_data, member.size) for member in images}
        self.names: Sequence[str] = list(self._places) if names is None else list(names)

    def read(self, index: int, channels: int) -> Image:
        name = self.names[index]
        offset, size = self._places[name]
        with self.path.open("rb") as file:  # opened each time, so that processes may share the source
            file.seek(offset)
            encoded = file.read(size)
        return _decode(np.frombuffer(encoded, dtype=np.uint8), channels, f"{self.path}:{name}")

    def select(self, keep: Sequence[int]) -> TarSource:
        return TarSource(self.path, [self.names[index] for index in keep])


class CachedSource:
    """Another source, of which every image is decoded once and kept in memory.

    Args:
        source: where the images come from.
    """

    def __init__(self, source: ImageSource) -> None:
        self._source = source
        self._images: dict[tuple[int, int], Image] = {}
        self.names = source.names

    def read(self, index: int, channels: int) -> Image:
        if (index, channels) not in self._images:
            self._images[index, channels] = self._source.read(index, channels)
        return self._images[index, channels]

    def select(self, keep: Sequence[int]) -> CachedSource:
        return CachedSource(self._source.select(keep))


class _ChainedSource:
    """Several sources, one after another."""

    def __init__(self, parts: Sequence[ImageSource]) -> None:
        self._parts = list(parts)
        self._places = [(part, index) for part in self._parts for index in range(len(part.names))]
        self.names: Sequence[str] = [name for part in self._parts for name in part.names]

    def read(self, index: int, channels: int) -> Image:
        part, place = self._places[index]
        return part.read(place, channels)

    def select(self, keep: Sequence[int]) -> _ChainedSource:
        chosen = [self._places[index] for index in keep]
        return _ChainedSource([part.select([i for p, i in chosen if p is part]) for part in self._parts])


def open_source(roots: Sequence[str | Path]) -> ImageSource:
    """Open folders (searched recursively), tar archives and LMDBs as one source of images.

    Args:
        roots: paths; one ending in ``.lmdb`` is a database, one ending in ``.tar`` an archive, any other a folder.

    Raises:
        FileNotFoundError: if a path does not exist or holds no image.
    """
    parts: list[ImageSource] = []
    for root in (Path(root).expanduser() for root in roots):
        if not root.exists():
            raise FileNotFoundError(
                f"The image folder {root} does not exist: see datasets/README.md, or change dataroot_gt."
            )
        part = _open_root(root)
        if not part.names:
            raise FileNotFoundError(f"{root} holds no image ({', '.join(sorted(IMAGE_SUFFIXES))}).")
        parts.append(part)
    return parts[0] if len(parts) == 1 else _ChainedSource(parts)


def open_dataset(section: Mapping[str, Any]) -> ImageSource:
    """Open the images of a dataset section of an option file.

    Args:
        section: ``dataroot_gt`` or ``dataroots_gt``, and ``include_list`` and ``exclude_list``, if any.

    Raises:
        FileNotFoundError: as :func:`open_source`, or if the lists leave no image.
        ValueError: if both keys or none name the roots.
    """
    roots = [section[key] for key in ("dataroot_gt", "dataroots_gt") if section.get(key) is not None]
    if len(roots) != 1:
        raise ValueError(f"Dataset {section['name']} needs either dataroot_gt (one folder) or dataroots_gt (a list).")
    source = open_source(roots[0] if isinstance(roots[0], list) else roots)
    included = read_name_list(section["include_list"]) if section.get("include_list") else set(source.names)
    excluded = read_name_list(section["exclude_list"]) if section.get("exclude_list") else set()
    keep = [index for index, name in enumerate(source.names) if name in included - excluded]
    if not keep:
        raise FileNotFoundError(
            f"The lists of dataset {section['name']} leave no image: check include_list and exclude_list."
        )
    return source.select(keep)


def _open_root(root: Path) -> ImageSource:
    if root.suffix == ".lmdb":
        return LmdbSource(root)
    return TarSource(root) if root.suffix == ".tar" else FolderSource(find_images(root))


def find_images(folder: Path) -> list[Path]:
    """Image files below a folder, sorted by path."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())


def find_in_folders(folders: Iterable[Path], option: str) -> list[Path]:
    """Images of all folders, in order.

    Args:
        folders: where to look.
        option: that named them, for the message.

    Raises:
        FileNotFoundError: if a folder does not exist or holds none.
    """
    paths = []
    for folder in folders:
        found = find_images(folder)
        if not found:
            raise FileNotFoundError(f"{folder} holds no image: check {option}.")
        paths += found
    return paths


def read_name_list(path: str | Path) -> set[str]:
    """Image names from a text file, one ``folder/file`` a line; lines that begin with # are comments."""
    lines = (line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines())
    return {line for line in lines if line and not line.startswith("#")}


@cache
def _open_database(root: Path) -> Any:
    """The one environment of a database, which LMDB opens once a process; without locks it may be used after a fork."""
    import lmdb  # an optional dependency

    return lmdb.open(str(root), readonly=True, lock=False, readahead=False, meminit=False)


def _decode(encoded: NDArray[np.uint8], channels: int, where: str) -> Image:
    flag = cv2.IMREAD_GRAYSCALE if channels == 1 else cv2.IMREAD_COLOR
    image = cv2.imdecode(encoded, flag) if encoded.size else None
    if image is None:
        raise OSError(f"{where} cannot be decoded: replace or remove it (vheatir prepare lists such files).")
    if channels == 3:
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    return image.astype(np.uint8, copy=False)
