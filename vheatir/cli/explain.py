"""``vheatir explain --model denoise-gray image.png out/``: the heat in a network, as pictures."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from vheatir.cli.shared import DONE, make_folder, new_parser, number_or_auto
from vheatir.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from vheatir.inference.network import RestorationNetwork

__all__ = ["build_parser", "run"]

_FORMATS: Final = ("png", "html")

_EPILOG: Final = """\
The output folder gets <image>_<model>.png (or .html) and <image>_<model>.json with the numbers behind it; files of an
earlier run are replaced. Without a level, it is found in the image, as for restoring it.

examples:
  %(prog)s --model denoise-gray --sigma 25 noisy.png out/
  %(prog)s --model jpeg-color photo.jpg out/ --format html --pixel 120 80
  %(prog)s --model my.safetensors --sigma 15 noisy.png out/ --blocks 1,5,9
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    parser = new_parser(
        "explain",
        "Show how heat spreads in a network: conductivity, decay and impulse response of every block, the "
        "spread of a pixel of the image, and the effective receptive field.",
        _EPILOG,
    )
    parser.add_argument("image", type=Path, help="degraded image")
    parser.add_argument("output", type=Path, help="folder for the sheet and its numbers, made if missing")
    parser.add_argument(
        "--model",
        required=True,
        help="bundled name (denoise-gray, denoise-color, jpeg-gray, jpeg-color) or weights file",
    )
    parser.add_argument("--sigma", type=number_or_auto, help="denoise: σ of the noise, 8-bit units, or auto (default)")
    parser.add_argument("--quality", type=number_or_auto, help="jpeg: quality, 1 to 100, or auto (default)")
    parser.add_argument(
        "--pixel", type=int, nargs=2, metavar=("X", "Y"), help="whose temperature is watched (default: the middle)"
    )
    parser.add_argument(
        "--size",
        type=int,
        default=256,
        help="side, in image pixels, of the squares of the image on which all is measured (default: 256)",
    )
    parser.add_argument(
        "--samples", type=int, default=4, help="inputs over which a receptive field is averaged (default: 4)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the places and values of those inputs (default: 0)")
    parser.add_argument(
        "--blocks", type=_numbers, metavar="N,N,...", help="blocks that get pictures, from 1 (default: all)"
    )
    parser.add_argument("--format", choices=_FORMATS, default="png", help="of the sheet (default: png)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, ... (default: auto)")
    parser.add_argument("--quiet", action="store_true", help="print nothing but warnings and failures")
    return parser


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))


def run(arguments: argparse.Namespace) -> int:
    """Explain, name the files, and return the exit code."""
    _check(arguments)

    from vheatir.inference.compute import select_device
    from vheatir.inference.network import load_model
    from vheatir.research.explain.explanation import explain, summary
    from vheatir.research.explain.sheet import require_matplotlib, write_html, write_png
    from vheatir.system.atomic import atomic_path

    require_matplotlib()
    model = load_model(arguments.model, device=select_device(arguments.device))
    _check_blocks(arguments.blocks, model)
    image, level, found = _read(arguments, model)
    pixel = None if arguments.pixel is None else (arguments.pixel[1], arguments.pixel[0])
    make_folder(arguments.output, "output folder")
    explanation = explain(
        model, image, level, pixel=pixel, size=arguments.size, samples=arguments.samples, seed=arguments.seed
    )
    name = Path(arguments.model).stem
    stem = arguments.output / f"{arguments.image.stem}_{name}"
    level_name = "σ" if explanation.is_denoising else "quality"
    title = f"Heat in {name} on {arguments.image.name}, {level_name} {level:g}{f' ({found})' if found else ''}"
    sheet, numbers = Path(f"{stem}.{arguments.format}"), Path(f"{stem}.json")
    write = write_png if arguments.format == "png" else write_html
    try:
        write(sheet, explanation, title, blocks=_places(arguments.blocks))
        facts = {"model": name, "image": arguments.image.name, "level_found": found or "given", **summary(explanation)}
        with atomic_path(numbers) as temporary:
            temporary.write_text(json.dumps(facts, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{arguments.output} cannot be written to: {error.strerror}.") from error
    if not arguments.quiet:
        print(f"{sheet}\n{numbers}")
    return DONE


def _check(arguments: argparse.Namespace) -> None:
    """Refuse what can be refused before anything is loaded."""
    if arguments.sigma is not None and arguments.quality is not None:
        raise UsageError("--sigma is for denoising and --quality for JPEG artifacts; give one of them.")
    if not arguments.image.is_file():
        raise UsageError(f"The image {arguments.image} does not exist; check its name.")
    if arguments.output.exists() and not arguments.output.is_dir():
        raise UsageError(f"The output {arguments.output} is a file; give a folder.")
    for option, value in (("--size", arguments.size), ("--samples", arguments.samples)):
        if value < 1:
            raise UsageError(f"{option} is 1 or more, not {value}.")


def _check_blocks(blocks: Sequence[int] | None, model: RestorationNetwork) -> None:
    from vheatir.research.explain.blocks import block_names

    count = len(block_names(model.network))
    for block in blocks or ():
        if not 1 <= block <= count:
            raise UsageError(f"--blocks are 1 to {count} for this model, not {block}.")


def _places(blocks: Sequence[int] | None) -> list[int] | None:
    return None if blocks is None else [block - 1 for block in dict.fromkeys(blocks)]


def _read(arguments: argparse.Namespace, model: RestorationNetwork) -> tuple[Tensor, float, str]:
    """The image (1, channels, H, W), turned upright; its level, and how it was found if it was not given."""
    import torch

    from vheatir.imageio.read import read_image
    from vheatir.inference.arrays import canvas_of
    from vheatir.inference.restorer import Restorer
    from vheatir.levels.levels import trained_levels

    if model.name == "photo":
        raise UsageError("Model photo is told two levels or none; explanations are of models that are told one.")
    is_denoising = model.header.task == "denoise"
    if (arguments.quality if is_denoising else arguments.sigma) is not None:
        wrong, right = ("quality", "sigma") if is_denoising else ("sigma", "quality")
        raise UsageError(f"Model {model.name} takes --{right}, not --{wrong}.")
    read = read_image(arguments.image)
    canvas = canvas_of(read.upright().pixels)
    if model.channels == 1 and not canvas.has_equal_channels:
        raise UsageError(f"{arguments.image} is a colour image and model {model.name} takes gray ones.")
    if model.channels == 3 and canvas.channels == 1:
        raise UsageError(f"{arguments.image} is a gray image and model {model.name} takes colour ones.")
    restorer = Restorer(model.header.task, model=model)
    given: float | Literal["auto"] | None = arguments.sigma
    sigma: float | Literal["auto"] | None = "auto" if is_denoising and given is None else given
    levels, found = restorer.file_levels(arguments.image, read, sigma, arguments.quality)
    used = trained_levels(model.header, levels)
    level = used.sigma if is_denoising else used.quality
    assert level is not None
    pixels = canvas.read(slice(None), slice(None))[:, : model.channels]
    device = next(model.parameters()).device
    return torch.from_numpy(pixels).to(device), level, found
