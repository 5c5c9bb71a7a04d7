"""Writes weights files: ``vheatir export -opt options/train/NAME.yml net_g_latest.pth model.safetensors``.

And ONNX files of weights: ``vheatir export --format onnx --model photo photo.onnx``, or graphs that read the weights
file beside them: ``vheatir export --format graph vheatir/weights``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from vheatir.cli.shared import DONE, check_parent, new_parser
from vheatir.errors import UsageError

__all__ = ["build_parser", "run"]

_EXAMPLES = """\
examples:
  %(prog)s -opt options/train/NAME.yml experiments/NAME/models/net_g_latest.pth model.safetensors
  %(prog)s --format onnx --model denoise-color denoise.onnx      (inputs: image, sigma)
  %(prog)s --format onnx --model denoise-color --sigma 15 denoise-15.onnx      (input: image)
  %(prog)s --format onnx --blind photo.onnx      (input: image; the network estimates the levels)
  %(prog)s --format graph mine.onnx      (reads mine.safetensors beside it; for vheatir restore --backend onnx)
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    parser = new_parser(
        "export",
        "Turn a checkpoint of a training into a weights file, for vheatir restore --model, "
        "or weights into an ONNX file for other programs.",
        _EXAMPLES,
    )
    parser.add_argument("checkpoint", type=Path, nargs="?", help="net_g_*.pth, for a weights file")
    parser.add_argument(
        "output", type=Path, help="file to write, *.safetensors or *.onnx; graph: or a folder, for its weights files"
    )
    parser.add_argument(
        "--format",
        choices=("safetensors", "onnx", "graph"),
        default="safetensors",
        help="graph: an ONNX file without weights, which reads those of the same name beside it (default: %(default)s)",
    )
    checkpoint = parser.add_argument_group("weights file")
    checkpoint.add_argument("-opt", type=Path, help="option file that the checkpoint was trained with")
    checkpoint.add_argument("--licence", help="licence of the weights (default: Apache-2.0)")
    onnx = parser.add_argument_group("ONNX file", "Without a level, levels are inputs of the file beside the image.")
    onnx.add_argument("--model", help="name of bundled weights, or path of a weights file (default: photo)")
    onnx.add_argument("--sigma", type=float, help="noise level, 0 to 255, built into the file")
    onnx.add_argument("--quality", type=float, help="JPEG quality, 1 to 100, built into the file")
    onnx.add_argument("--blind", action="store_true", default=None, help="for photo: build in that no level is known")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Export, and return the exit code."""
    own = {"safetensors": ("checkpoint", "opt", "licence"), "onnx": ("model", "sigma", "quality", "blind"), "graph": ()}
    for name in (name for kind, names in own.items() if kind != arguments.format for name in names):
        if getattr(arguments, name) is not None:
            raise UsageError(f"{_spelled(name)} does not belong to --format {arguments.format}; leave it out.")
    check_parent(arguments.output, "the output")
    export = {"safetensors": _export_weights, "onnx": _export_onnx, "graph": _export_graphs}[arguments.format]
    for path in export(arguments):
        sys.stdout.write(f"Wrote {path} ({path.stat().st_size / 1e6:.1f} MB).\n")
    return DONE


def _export_weights(arguments: argparse.Namespace) -> list[Path]:
    if arguments.opt is None or arguments.checkpoint is None:
        raise UsageError("A weights file needs -opt, the option file, and the checkpoint; --format onnx needs neither.")

    from vheatir.training.export import export

    export(arguments.opt, arguments.checkpoint, arguments.output, licence=arguments.licence or "Apache-2.0")
    return [arguments.output]


def _spelled(name: str) -> str:
    return {"checkpoint": "A checkpoint", "opt": "-opt"}.get(name, f"--{name}")


def _export_onnx(arguments: argparse.Namespace) -> list[Path]:
    told = arguments.sigma is not None or arguments.quality is not None
    if arguments.blind and told:
        raise UsageError("--blind means that no level is known; leave it out, or --sigma and --quality.")

    from vheatir.inference.onnx_export import export_onnx
    from vheatir.levels.levels import Levels

    levels = Levels(arguments.sigma, arguments.quality) if told or arguments.blind else None
    export_onnx(arguments.model or "photo", arguments.output, levels=levels)
    return [arguments.output]


def _export_graphs(arguments: argparse.Namespace) -> list[Path]:
    from vheatir.inference.onnx_export import write_graphs

    output: Path = arguments.output
    weights = sorted(output.glob("*.safetensors")) if output.is_dir() else [output.with_suffix(".safetensors")]
    return [graph for path in weights for graph in write_graphs(path)]
