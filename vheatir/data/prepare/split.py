"""Which images train and which validate, and the lists that say so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from vheatir.system.atomic import atomic_path

__all__ = ["draw_validation", "list_validation", "name_images", "write_name_list"]


def name_images(paths: Iterable[Path]) -> list[tuple[str, Path]]:
    """Pair each file with what lists call it, its folder and file name: ``BSD/12003.jpg``.

    Raises:
        ValueError: if two files would be called the same.
    """
    named = [(f"{path.parent.name}/{path.name}", path) for path in paths]
    name, uses = Counter(name for name, _ in named).most_common(1)[0] if named else ("", 0)
    if uses > 1:
        first, second = [path for other, path in named if other == name][:2]
        raise ValueError(f"{first} and {second} would both be listed as {name}: rename one of the folders.")
    return named


def draw_validation(names: Sequence[str], count: int, seed: int) -> list[str]:
    """Draw ``count`` names at random, the same for the same seed, and return them in the order of ``names``.

    Raises:
        ValueError: if no image would be left to train on.
    """
    if count >= len(names):
        raise ValueError(
            f"{count} of {len(names)} usable images for validation leaves none to train on: ask for fewer."
        )
    chosen = np.random.default_rng(seed).choice(len(names), size=count, replace=False)
    return [names[index] for index in sorted(chosen)]


def list_validation(names: Sequence[str], wanted: set[str], where: Path) -> list[str]:
    """Return those of ``names`` that are in a list, in their own order.

    Raises:
        ValueError: if the list names an image that is not among them, or leaves none to train on.
    """
    missing = sorted(wanted - set(names))
    if missing:
        raise ValueError(
            f"{where} lists {missing[0]} and {len(missing) - 1} more that are not among the usable images: "
            "take them off the list, or see report.csv for why they were left out."
        )
    if wanted == set(names):
        raise ValueError(f"{where} lists every usable image and leaves none to train on: shorten it.")
    return [name for name in names if name in wanted]


def write_name_list(path: Path, names: Iterable[str]) -> None:
    """Write names to a text file, one a line, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
