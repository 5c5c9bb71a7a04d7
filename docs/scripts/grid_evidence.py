"""What the coarser grids of photo networks are worth: PSNR without what comes up from them.

    python docs/scripts/grid_evidence.py --photos datasets/train --validation datasets/splits/validation.txt \
        vheatir/weights/photo.safetensors

Every fifth image of the validation list, its 192 x 192 pixels from (64, 64) on, in colour, with noise of σ 25 that the
network is told. Prints the table of docs/training.md. Weights of earlier releases are in the file's history in git.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from vheatir.nn import VHeatPyramid
from vheatir.training.checkpoint import read_checkpoint

_SIGMA = 25 / 255
_PLACE = slice(64, 256)
_EVERY = 5


class _Cut(VHeatPyramid):
    """A pyramid one of whose joins, counted from the coarsest grid, leaves out what comes up; None for no one."""

    cut: int | None = None

    def residual(self, folded: Tensor, levels: Tensor) -> Tensor:
        self._joins = 0
        return super().residual(folded, levels)

    def join(self, skip: Tensor, x: Tensor) -> Tensor:
        self._joins += 1
        return skip if self._joins - 1 == self.cut else super().join(skip, x)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, nargs="+", help="weights files, or checkpoints of a training")
    parser.add_argument("--photos", type=Path, required=True, help="folder that the validation list is of")
    parser.add_argument("--validation", type=Path, required=True, help="list of clean photographs")
    parsed = parser.parse_args(arguments)
    names = [line for line in parsed.validation.read_text("utf-8").split() if not line.startswith("#")]
    clean = torch.stack([_read(parsed.photos / name) for name in names[::_EVERY]])
    noise = np.random.default_rng(0).normal(size=clean.shape)
    noisy = clean + _SIGMA * torch.from_numpy(noise).float()
    sys.stdout.write("| weights | whole | without 1/8 | without 1/4 and 1/8 |\n|---|---|---|---|\n")
    for path in parsed.weights:
        network = _Cut()
        checkpoint = read_checkpoint(path)
        network.load_state_dict(checkpoint.get("params_ema", checkpoint["params"]))
        scores = [_score(network, cut, noisy, clean) for cut in (None, 0, 1)]
        sys.stdout.write(f"| {path.name} | " + " | ".join(f"{score:.2f}" for score in scores) + " |\n")
    return 0


def _read(path: Path) -> Tensor:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    assert image is not None, path
    return torch.from_numpy(image[_PLACE, _PLACE, ::-1].transpose(2, 0, 1) / np.float32(255))


@torch.inference_mode()
def _score(network: _Cut, cut: int | None, noisy: Tensor, clean: Tensor) -> float:
    """Mean PSNR, the network's result limited to [0, 1]."""
    network.cut = cut
    condition = torch.tensor([[_SIGMA, 0.0]]).expand(len(noisy), 2)
    squared = (network.eval()(noisy, condition).clamp(0, 1) - clean).square().mean(dim=(1, 2, 3))
    return float((-10 * torch.log10(squared)).mean())


if __name__ == "__main__":
    sys.exit(main())
