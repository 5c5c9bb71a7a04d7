"""``QBHeatModel``: what trains a network in pretraining."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vheatir.nn import network_arguments
from vheatir.nn.cpu import fast_on_cpu
from vheatir.research.pretrain.network import CORNERS, QBHeat, quarter, to_top_left
from vheatir.research.pretrain.report import heat_report, summary
from vheatir.system.atomic import atomic_path
from vheatir.training.checkpoint import read_checkpoint
from vheatir.training.metrics import save_png, to_image
from vheatir.training.restoration_model import RestorationModel, on_cpu

__all__ = ["QBHeatModel", "center_crop", "masked_psnr", "mean_of_visible", "pixel_weights"]

logger = logging.getLogger(__name__)

#: of a checkpoint's state dicts, which one holds the head that belongs to a backbone
_HEAD_KEYS = {"params": "head", "params_ema": "head_ema"}


class QBHeatModel(RestorationModel):
    """Pretrains the network of the section ``network_g``: it sees a quarter of the image, and the rest is rebuilt.

    Beside the options of :class:`RestorationModel`, in the section ``pretrain``:

    * ``sources``: a list of ``nearest``, ``mirrored`` and ``corresponding``, from where in the quarter the positions
      outside are predicted; the predictions of several are averaged;
    * ``decoder_depth``: residual blocks between the extrapolated features and the pixels;
    * ``visible_weight``: weight in the loss of the pixels that the network sees; the others have weight 1.

    Step n shows corner n mod 4. Checkpoints hold the backbone under the usual keys, so that ``pretrain_network_g`` of
    a restoration reads them as they are, and the rest under ``head`` and ``head_ema``. Validation measures the PSNR of
    the three hidden quarters of a crop, averaged over the four corners. ``heat_equation.json`` in the experiment's
    folder holds A, B and S of the latest weights in numbers, renewed with every checkpoint.
    """

    def __init__(self, opt: dict[str, Any]) -> None:
        self._visible_weight = float(opt["pretrain"]["visible_weight"])
        self._corner = 0
        super().__init__(opt)

    def make_network(self) -> nn.Module:
        """Backbone, extrapolation and decoder."""
        pretrain, backbone = self.opt["pretrain"], network_arguments(self.opt["network_g"])
        return QBHeat(backbone=backbone, sources=pretrain["sources"], decoder_depth=pretrain["decoder_depth"])

    def optimize_parameters(self, current_iter: int) -> None:
        self._corner = current_iter % len(CORNERS)  # follows the step, so that a resumed training goes on alike
        super().optimize_parameters(current_iter)

    def loss(self, lq: Tensor, gt: Tensor, level: Tensor) -> Tensor:
        with self.autocast():
            rebuilt = self.net_g(lq, level, self._corner)
        weights = pixel_weights(gt, self._corner, visible=self._visible_weight)
        loss: Tensor = self.cri_pix(rebuilt.float(), gt, weights)
        return loss

    def validate(self, loader: Any, current_iter: int, tb_logger: Any, save_img: bool) -> None:
        """Log the PSNR of hidden pixels, beside that of the visible quarter's mean, and what the matrices are."""
        name, scores = loader.dataset.opt["name"], []
        for item in loader:
            results = list(self._rebuild(item))
            scores += [
                (masked_psnr(rebuilt, truth, corner), masked_psnr(mean_of_visible(truth, corner), truth, corner))
                for corner, (rebuilt, truth) in enumerate(results)
            ]
            if save_img:
                self._save_picture(Path(item["lq_path"][0]).stem, current_iter, *results[0])
        psnr, of_mean = np.mean(scores, axis=0)
        self.metric_results = {"masked_psnr": float(psnr)}
        logger.info(f"Validation {name}\n\t # masked_psnr: {psnr:.4f} (mean of the visible quarter: {of_mean:.4f})\n")
        logger.info(summary(self._report()))
        if tb_logger:
            tb_logger.add_scalar(f"metrics/{name}/masked_psnr", psnr, current_iter)

    def checkpoint(self) -> dict[str, dict[str, Tensor]]:
        """The backbone under the usual keys, and the rest under others."""
        backbones = {key: on_cpu(network.backbone) for key, network in self.networks()}
        return backbones | {_HEAD_KEYS[key]: on_cpu(network.head) for key, network in self.networks()}

    def save_checkpoint(self, label: str) -> None:
        """Write checkpoint and report; the first process does."""
        super().save_checkpoint(label)
        if self.opt["rank"] == 0:
            with atomic_path(Path(self.opt["path"]["experiments_root"]) / "heat_equation.json") as temporary:
                temporary.write_text(json.dumps(self._report(), indent=1), encoding="utf-8")

    def load_network(self, network: Any, load_path: str, param_key: str) -> None:
        """Load a backbone, and the head too where the file holds one; otherwise all heads begin alike, at random."""
        super().load_network(network.backbone, load_path, param_key)
        checkpoint = read_checkpoint(Path(load_path))
        head = checkpoint.get(_HEAD_KEYS[param_key], checkpoint.get("head"))
        if head is None:
            logger.info(f"{load_path} holds no head: extrapolation and decoder start afresh.")
            return
        try:
            network.head.load_state_dict(head)
        except RuntimeError as error:
            raise ValueError(f"{load_path} was pretrained with another decoder_depth: change one of them.") from error

    @torch.inference_mode()
    def _rebuild(self, item: dict[str, Any]) -> Iterator[tuple[Tensor, Tensor]]:
        """For each corner the rebuilt crop and the true one, each (C, H, W) on the CPU."""
        network = fast_on_cpu(self.networks()[-1][1])
        multiple = 2 * network.backbone.config.downscale
        image, truth = (center_crop(item[key], self.opt["val"].get("crop"), multiple) for key in ("lq", "gt"))
        training = network.training
        network.eval()
        for corner in range(len(CORNERS)):
            rebuilt = network(image.to(self.device), item["level"].to(self.device), corner)
            yield rebuilt[0].float().cpu(), truth[0]
        network.train(training)

    def _report(self) -> dict[str, Any]:
        return heat_report(*self.networks()[-1][1].head.extrapolation.generators())

    def _save_picture(self, name: str, current_iter: int, rebuilt: Tensor, truth: Tensor) -> None:
        """What the network saw, what it made of it, and the truth, side by side."""
        seen = torch.where(_hidden(truth, 0), 0.5, truth)
        panels = torch.cat((seen, rebuilt, truth), dim=-1)
        save_png(Path(self.opt["path"]["visualization"]) / name / f"{name}_{current_iter}.png", to_image(panels[None]))


def center_crop(image: Tensor, side: int | None, multiple: int) -> Tensor:
    """The middle of an image (..., H, W): at most ``side`` pixels high and wide, both multiples of ``multiple``."""
    for axis in (-2, -1):
        size = image.shape[axis]
        kept = min(size, side or size) // multiple * multiple
        image = image.narrow(axis, (size - kept) // 2, kept)
    return image


def pixel_weights(image: Tensor, corner: int, *, visible: float) -> Tensor:
    """Weights of the pixels of (B, C, H, W) in the loss, (B, 1, H, W): ``visible`` in the quarter, 1 elsewhere."""
    weights = torch.where(_hidden(image, corner), 1.0, visible)
    return weights.expand(len(image), 1, -1, -1)


def masked_psnr(rebuilt: Tensor, truth: Tensor, corner: int) -> float:
    """PSNR in dB, in 8 bits, over the three quarters of (C, H, W) that the network does not see."""
    eight_bits = (x.clamp(0, 1).mul(255).round().double() for x in (rebuilt, truth))
    hidden = _hidden(truth, corner).expand_as(truth)
    first, second = (x[hidden] for x in eight_bits)
    return float(10 * torch.log10(255**2 / (first - second).square().mean()))


def _hidden(image: Tensor, corner: int) -> Tensor:
    """(1, H, W), True where the network does not see the image (..., H, W)."""
    height, width = image.shape[-2:]
    hidden = torch.ones(1, height, width, dtype=torch.bool, device=image.device)
    hidden[:, : height // 2, : width // 2] = False
    return to_top_left(hidden, corner)


def mean_of_visible(truth: Tensor, corner: int) -> Tensor:
    """The best flat guess from the visible quarter of (C, H, W): the measure of what a prediction is worth."""
    return quarter(truth, corner).mean(dim=(-2, -1), keepdim=True).expand_as(truth)
