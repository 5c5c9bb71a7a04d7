r"""What ``--task photo`` does for real photographs, beside the other tasks, in dB.

    python docs/scripts/photo_evidence.py --pairs PolyU --photos datasets/train \
        --validation datasets/splits/validation.txt

* real pairs: ``*_real.JPG`` (one shot) against ``*_mean.JPG`` (the mean of many), whole, all channels together;
* clean photographs of the validation list, their middle 256 x 256 pixels: as they are; with noise of σ 15, rounded,
  then JPEG 60; and JPEG 30, shifted by (3, 5) pixels, then JPEG 80.

Scores go to ``docs/photo.json``, what is there already is not computed again (``--again METHOD`` does), and
``vheatir report`` puts the table into docs/photo.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

import vheatir
from vheatir.data.degradations import benchmark_noise, encode_jpeg
from vheatir.evaluation.metrics.psnr import psnr
from vheatir.system.atomic import atomic_path

Image = NDArray[np.uint8]
Method = Callable[[Image], Image]
Scores = dict[str, dict[str, dict[str, float]]]

_SIDE: Final = 256
_SIGMAS: Final = (4, 8, 12, 16, 24)
_SHIFT: Final = (3, 5)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, required=True, help="folder of real pairs")
    parser.add_argument("--photos", type=Path, required=True, help="folder that the validation list is of")
    parser.add_argument("--validation", type=Path, required=True, help="list of clean photographs")
    parser.add_argument("--model", help="weights file of the task photo (default: the bundled one)")
    parser.add_argument("--again", nargs="*", default=[], metavar="METHOD", help="methods to compute again")
    parser.add_argument("--only", nargs="*", metavar="METHOD", help="compute no others")
    parser.add_argument("--results", type=Path, default=Path("docs/photo.json"))
    parsed = parser.parse_args(arguments)
    scores: Scores = json.loads(parsed.results.read_text("utf-8")) if parsed.results.is_file() else {}
    for name, pairs in _sets(parsed.pairs, parsed.photos, parsed.validation).items():
        for label, method in _methods(name, parsed.model).items():
            known = scores.setdefault(name, {}).setdefault(label, {})
            if label in parsed.again:
                known.clear()
            if parsed.only is None or label in parsed.only:
                _score(pairs, method, known, f"{name}, {label}")
            _write(parsed.results, scores)
    return 0


def _methods(set_name: str, model: str | None) -> dict[str, Method]:
    """The commands that somebody might give for a set, by what they are called."""
    photo = vheatir.Restorer("photo", model=model)
    denoise, jpeg = vheatir.Restorer("denoise"), vheatir.Restorer("jpeg")
    methods: dict[str, Method] = {"--task photo": photo.restore}
    if set_name == "clean":
        return methods
    methods["as it is"] = lambda image: image
    methods["--sigma auto"] = lambda image: denoise.restore(image, sigma="auto")
    methods |= {f"--sigma {sigma}": _with_sigma(denoise, sigma) for sigma in sorted((*_SIGMAS, 15))}
    if set_name != "real pairs":
        methods["--task jpeg"] = lambda image: jpeg.restore(image, quality="auto")
    return methods


def _with_sigma(restorer: vheatir.Restorer, sigma: float) -> Method:
    return lambda image: restorer.restore(image, sigma=sigma)


def _sets(pairs: Path, photos: Path, validation: Path) -> dict[str, dict[str, tuple[Path, Callable[[Image], Any]]]]:
    """Sets of images: name -> file and what makes (degraded, truth) of it."""
    real = {path.name: (path, _pair_of(path)) for path in sorted(pairs.glob("*_real.JPG"))}
    names = [line.strip() for line in validation.read_text("utf-8").splitlines()]
    files = {name: photos / name for name in names if name and not name.startswith("#")}
    sets: dict[str, dict[str, tuple[Path, Callable[[Image], Any]]]] = {"real pairs": real}
    for name, degrade in (("clean", _clean), ("σ 15, then JPEG 60", _noisy_jpeg), ("JPEG 30, then 80", _twice)):
        sets[name] = {file: (path, degrade) for file, path in files.items()}
    return sets


def _pair_of(path: Path) -> Callable[[Image], tuple[Image, Image]]:
    return lambda noisy: (noisy, _read(path.with_name(path.name.replace("_real", "_mean"))))


def _clean(photo: Image) -> tuple[Image, Image]:
    middle = _middle(photo, _SIDE)
    return middle, middle


def _noisy_jpeg(photo: Image) -> tuple[Image, Image]:
    middle = _middle(photo, _SIDE)
    stored = (benchmark_noise(middle, 15).clip(0, 1) * 255).round().astype(np.uint8)
    return encode_jpeg(stored, 60), middle


def _twice(photo: Image) -> tuple[Image, Image]:
    larger = _middle(photo, _SIDE + 16)
    place = np.s_[_SHIFT[0] : _SHIFT[0] + _SIDE, _SHIFT[1] : _SHIFT[1] + _SIDE]
    return encode_jpeg(np.ascontiguousarray(encode_jpeg(larger, 30)[place]), 80), larger[place]


def _middle(photo: Image, side: int) -> Image:
    top, left = ((length - side) // 2 for length in photo.shape[:2])
    return np.ascontiguousarray(photo[top : top + side, left : left + side])


def _read(path: Path) -> Image:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    assert image is not None, path
    return np.ascontiguousarray(image[..., ::-1], dtype=np.uint8)


def _score(
    images: Mapping[str, tuple[Path, Callable[[Image], Any]]], method: Method, known: dict[str, float], label: str
) -> None:
    for name, (path, make) in tqdm(images.items(), desc=label, disable=None):
        if name not in known:
            degraded, truth = make(_read(path))
            known[name] = round(min(99.0, psnr(method(degraded), truth)), 4)


def _write(path: Path, scores: Scores) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(scores, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
