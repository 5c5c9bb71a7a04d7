"""Make docs/explain.png, and print what docs/lab/heat.md says is seen in it.

``python docs/scripts/heat_evidence.py``
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Final

import torch
from PIL import Image
from torch import Tensor

from vheatir.imageio.read import read_image
from vheatir.inference.arrays import canvas_of
from vheatir.inference.network import RestorationNetwork, load_model
from vheatir.nn.heat import log_spaced_conductivity
from vheatir.research.explain.blocks import block_label, conductions
from vheatir.research.explain.conduction import Conduction, averaging_length, diffusion_length
from vheatir.research.explain.explanation import Explanation, explain
from vheatir.research.explain.sheet import write_png
from vheatir.research.explain.spread import OUTPUT
from vheatir.weights.file import MODELS

ROOT: Final = Path(__file__).resolve().parents[2]
EXAMPLE: Final = ROOT / "examples" / "denoise" / "camera_sigma25.png"
SHEET: Final = ROOT / "docs" / "explain.png"
SIGMA: Final = 25.0


def main() -> None:
    """Measure, draw and print."""
    image = torch.from_numpy(canvas_of(read_image(EXAMPLE).pixels).read(slice(None), slice(None)))
    model = load_model("denoise-gray")
    explanation = explain(model, image, SIGMA, samples=8)
    _write_sheet(explanation)
    _print_lengths(model, explanation)
    _print_reach(explanation)
    for task in MODELS:
        _print_trained(load_model(task), task)


def _write_sheet(explanation: Explanation) -> None:
    """The command's sheet of three blocks, in 256 colours."""
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "sheet.png"
        title = f"Heat in denoise-gray on {EXAMPLE.name}, σ {SIGMA:g}"
        write_png(whole, explanation, title, blocks=[0, 4, 8])
        with Image.open(whole) as sheet:
            sheet.convert("RGB").quantize(256, kmeans=2).save(SHEET, optimize=True)


def _print_lengths(model: RestorationNetwork, explanation: Explanation) -> None:
    nodes = [conduction.nodes for conduction in explanation.conductions]
    diffusion = torch.cat([diffusion_length(k) for k in nodes]) * explanation.downscale
    averaging = torch.cat([averaging_length(k) for k in nodes]) * explanation.downscale
    zero = torch.cat([k[0, 0] for k in nodes])
    gain = torch.cat([conduction.gain for conduction in explanation.conductions])
    widest = diffusion.view(len(nodes), -1)[:, -1]
    start = math.sqrt(2 * _start(model, explanation.conductions[0])[-1]) * explanation.downscale
    reach = explanation.spreads[-1].radii[-1]
    print(f"channels: {len(zero)}")
    print(f"widest channel: {float(widest.min()):.1f} to {float(widest.max()):.1f} image px, started at {start:.1f}")
    print(f"k(0) below 0.005: {int((zero < 0.005).sum())}")
    print(f"lengths within 5 %: {int(((diffusion / averaging - 1).abs() < 0.05).sum())}")
    print(f"negative gains: {int((gain < 0).sum())}; {float(gain.min()):.2f} to {float(gain.max()):.2f}")
    print(f"diffusion length above {reach:.1f} image px: {int((diffusion > reach).sum())}")


def _print_reach(explanation: Explanation) -> None:
    for spread in explanation.spreads:
        name = spread.name if spread.name == OUTPUT else block_label(spread.name)
        print(f"spread, {name}: {_listed(spread.radii)}")
    print(f"receptive field, the image: {_listed(explanation.natural.radii)}")
    print(f"receptive field, random values: {_listed(explanation.random.radii)}")
    for level, field in explanation.by_level.items():
        print(f"receptive field, told {level:g}: {_listed(field.radii)}")
    traces = explanation.natural.energy.sqrt()
    traces = traces > 1e-3 * traces.max()
    print(f"a thousandth of the largest gradient: {_extent(traces.any(0))} px across, {_extent(traces.any(1))} down")


def _print_trained(model: RestorationNetwork, task: str) -> None:
    """How far k moved from its start in each group, at most."""
    moved: dict[str, float] = {}
    image = torch.full((1, model.channels, 32, 32), 0.5)
    for conduction in conductions(model, image, model.level_max):
        group = block_label(conduction.name).partition(",")[0]
        change = float((conduction.nodes / _start(model, conduction) - 1).abs().max())
        moved[group] = max(change, moved.get(group, 0.0))
    print(f"{task}: k moved by up to {', '.join(f'{change:.1%} ({group})' for group, change in moved.items())}")


def _start(model: RestorationNetwork, conduction: Conduction) -> Tensor:
    arch = model.header.arch
    k_min, k_max = (float(str(arch[name])) for name in ("k_min", "k_max"))
    return log_spaced_conductivity(conduction.channels, k_min, k_max).double()


def _listed(radii: tuple[float, ...]) -> str:
    return "/".join(f"{radius:.1f}" for radius in radii)


def _extent(marked: Tensor) -> int:
    """Distance from the middle of the last place that is marked."""
    return int((marked.nonzero() - len(marked) // 2).abs().max())


if __name__ == "__main__":
    main()
