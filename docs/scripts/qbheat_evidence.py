"""Print what QB-Heat makes of the hidden quarters, beside simpler guesses, and draw docs/lab/pretraining.png.

``python docs/scripts/qbheat_evidence.py experiments/qbheat_fast/models/net_g_latest.pth``, in a folder with datasets/
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import matplotlib

matplotlib.use("Agg")
import numpy as np
import torch
from matplotlib import pyplot as plt
from PIL import Image
from torch import Tensor

from vheatir.data.dataset import DegradedImageDataset
from vheatir.nn import network_arguments
from vheatir.research.pretrain.model import center_crop, masked_psnr, mean_of_visible
from vheatir.research.pretrain.network import CORNERS, QBHeat, quarter, to_top_left
from vheatir.research.pretrain.report import heat_report, summary
from vheatir.training.checkpoint import read_checkpoint
from vheatir.training.options import read_options

ROOT: Final = Path(__file__).resolve().parents[2]
FIGURE: Final = ROOT / "docs" / "lab" / "pretraining.png"
SHOWN: Final = 8


def main() -> None:
    """Measure on the validation images of the option file, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    options = read_options(ROOT / "options" / "pretrain" / "qbheat_fast.yml")
    network = load_network(parser.parse_args().checkpoint, options)
    dataset = DegradedImageDataset(options["datasets"]["val"] | {"phase": "val"})
    crop, multiple = options["val"]["crop"], 2 * network.backbone.config.downscale
    images = [center_crop(dataset[index]["gt"], crop, multiple) for index in range(len(dataset))]

    @torch.inference_mode()
    def rebuild(image: Tensor, corner: int) -> Tensor:
        whole: Tensor = network(image[None], torch.zeros(1), corner)[0]
        return whole

    guesses: dict[str, Callable[[Tensor, int], Tensor]] = {
        "rebuilt by the network": rebuild,
        "mean of the visible quarter": mean_of_visible,
        "edges of the quarter, repeated outwards": repeated_edges,
        "mean of the hidden pixels, which nobody knows": mean_of_hidden,
    }
    for name, guess in guesses.items():
        scores = [[masked_psnr(guess(x, corner), x, corner) for corner in range(len(CORNERS))] for x in images]
        print(f"{name}: {np.mean(scores):.2f} dB, top left corner alone {np.mean(scores, axis=0)[0]:.2f} dB")
    print(summary(heat_report(*network.head.extrapolation.generators())))
    draw(images[:: len(images) // SHOWN][:SHOWN], lambda image: rebuild(image, 0))


def load_network(checkpoint: Path, options: dict[str, Any]) -> QBHeat:
    """The averaged weights of a pretraining with these options."""
    backbone = network_arguments(options["network_g"])
    sources, depth = options["pretrain"]["sources"], options["pretrain"]["decoder_depth"]
    network = QBHeat(backbone=backbone, sources=sources, decoder_depth=depth).eval()
    content = read_checkpoint(checkpoint)
    network.backbone.load_state_dict(content["params_ema"])
    network.head.load_state_dict(content["head_ema"])
    return network


def repeated_edges(image: Tensor, corner: int) -> Tensor:
    """The quarter, its last row and column repeated."""
    block = quarter(image, corner)
    rows, columns = (torch.arange(2 * size).clamp(max=size - 1) for size in block.shape[-2:])
    return to_top_left(block[:, rows][:, :, columns], corner)


def mean_of_hidden(image: Tensor, corner: int) -> Tensor:
    """The best flat guess there is."""
    block = quarter(image, corner)
    hidden = (image.sum() - block.sum()) / (image.numel() - block.numel())
    return hidden.expand_as(image)


def draw(images: list[Tensor], rebuild: Callable[[Tensor], Tensor]) -> None:
    """What is seen, what is made of it, and the truth, one image a column."""
    figure, panels = plt.subplots(3, len(images), figsize=(1.25 * len(images), 4.0), layout="constrained")
    for column, truth in zip(panels.T, images, strict=True):
        seen = torch.full_like(truth, torch.nan)
        height, width = truth.shape[-2:]
        seen[:, : height // 2, : width // 2] = quarter(truth, 0)
        for panel, picture in zip(column, (seen, rebuild(truth), truth), strict=True):
            panel.imshow(picture[0].numpy(), cmap="gray", vmin=0, vmax=1)
            panel.set_xticks([])
            panel.set_yticks([])
    for panel, name in zip(panels[:, 0], ("seen", "rebuilt", "truth"), strict=True):
        panel.set_ylabel(name, size=9)
    figure.savefig(FIGURE, dpi=100)
    with Image.open(FIGURE) as drawn:
        drawn.convert("L").quantize(64).save(FIGURE, optimize=True)  # as small as it can be in git


if __name__ == "__main__":
    main()
