"""``RestorationModel``: a network, what trains it, and its files."""

from __future__ import annotations

import copy
import logging
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from tqdm import tqdm

from vheatir.inference.tiling import restore_in_tiles
from vheatir.nn import NETWORKS
from vheatir.nn.cpu import fast_on_cpu
from vheatir.nn.precision import computes_bfloat16
from vheatir.system.atomic import atomic_path
from vheatir.training.checkpoint import matching_tensors, read_tensors
from vheatir.training.metrics import save_png, to_image
from vheatir.training.muon import Muon
from vheatir.training.random_state import get_random_state, set_random_state
from vheatir.training.registry import build, find_metric
from vheatir.training.schedule import CosineAnnealingRestartLR, MultiStepRestartLR, WarmupCosine

__all__ = ["RestorationModel", "on_cpu"]

logger = logging.getLogger(__name__)

_AUTOCAST_DTYPES: Final = {"fp32": None, "bf16": torch.bfloat16}
_OPTIMIZERS: Final[dict[str, Any]] = {"Adam": torch.optim.Adam, "AdamW": torch.optim.AdamW, "Muon": Muon}
_SCHEDULES: Final[dict[str, Any]] = {
    "CosineAnnealingRestartLR": CosineAnnealingRestartLR,
    "MultiStepLR": MultiStepRestartLR,
    "MultiStepRestartLR": MultiStepRestartLR,
}


class RestorationModel:
    """Trains and validates a network that is called as ``net(lq, level)``.

    Options under ``train``:

    * ``precision``: ``fp32``, ``bf16`` (autocast, CPU or CUDA), or ``auto``: bf16 where the processor computes in it;
    * ``grad_clip``: bound on the norm of the gradient;
    * ``accumulate``: the batch goes through the network in that many equal parts, with one step at the end;
    * ``compile``: compile the network with torch.compile;
    * ``ema_decay``: of the averaged weights, which are validated and exported;
    * ``path.pretrain_network_g``: a checkpoint or a safetensors file; with ``strict_load_g: false`` tensors of
      other shapes are left as they are, which starts a colour model from a gray one.

    Under ``val``: ``tile`` and ``tile_overlap`` restore in tiles rather than the whole image at once. One of BasicSR's
    networks is called as ``net(lq)``.

    Args:
        opt: a whole option file, with what :func:`vheatir.training.command.complete_options` adds.
    """

    def __init__(self, opt: dict[str, Any]) -> None:
        self.opt = opt
        self.device = torch.device("cpu" if opt["num_gpu"] == 0 else "cuda")
        self.net_g_ema: Any = None
        self._best: dict[tuple[str, str], tuple[float, int]] = {}
        self.net_g = self.model_to_device(self.make_network())
        network = self.get_bare_model(self.net_g)
        logger.info(f"{type(network).__name__} with {sum(p.numel() for p in network.parameters()):,d} parameters.")
        start = opt["path"].get("pretrain_network_g")
        if start is not None:
            self.load_network(network, start, opt["path"].get("param_key_g") or "params")
        self.init_training_settings()

    def make_network(self) -> nn.Module:
        """The network of the section ``network_g``."""
        network: nn.Module = build("network", self.opt["network_g"])
        return network

    def model_to_device(self, net: nn.Module) -> nn.Module:
        """Move a network to where it trains, and share it between processes or GPUs."""
        net = net.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.opt["dist"]:
            devices = None if self.device.type == "cpu" else [torch.cuda.current_device()]
            unused = self.opt.get("find_unused_parameters", False)
            return DistributedDataParallel(net, device_ids=devices, find_unused_parameters=unused)
        return DataParallel(net) if self.opt["num_gpu"] > 1 else net

    def get_bare_model(self, net: nn.Module) -> Any:
        """A network without what shares it between processes or GPUs."""
        return net.module if isinstance(net, DataParallel | DistributedDataParallel) else net

    def init_training_settings(self) -> None:
        """Averaged weights, loss, optimizer and schedule."""
        train = self.opt["train"]
        precision = train.get("precision", "fp32")
        if precision == "auto":
            precision = "bf16" if computes_bfloat16(self.device) else "fp32"
        self._autocast_dtype = _AUTOCAST_DTYPES[precision]
        self._grad_clip = train.get("grad_clip")
        self._accumulate = int(train.get("accumulate", 1))
        self.net_g.train()
        self.ema_decay = float(train.get("ema_decay", 0))
        if self.ema_decay > 0:
            self._init_averaging()
        self.cri_pix = build("loss", train["pixel_opt"]).to(self.device)
        options = {key: value for key, value in train["optim_g"].items() if key != "type"}
        trained = [parameter for parameter in self.net_g.parameters() if parameter.requires_grad]
        self.optimizer_g: torch.optim.Optimizer = _OPTIMIZERS[train["optim_g"]["type"]](trained, **options)
        self.scheduler = self._make_schedule(train["scheduler"])
        if train.get("compile", False):
            self.net_g.compile()

    def _init_averaging(self) -> None:
        network = self.get_bare_model(self.net_g)
        self.net_g_ema = copy.deepcopy(network).eval()
        start = self.opt["path"].get("pretrain_network_g")
        if start is not None:
            self.load_network(self.net_g_ema, start, "params_ema")

    def _make_schedule(self, section: dict[str, Any]) -> Any:
        options = {key: value for key, value in section.items() if key != "type"}
        if section["type"] == "WarmupCosine":
            return WarmupCosine(self.optimizer_g, total_iter=int(self.opt["train"]["total_iter"]), **options)
        return _SCHEDULES[section["type"]](self.optimizer_g, **options)

    def model_ema(self, decay: float) -> None:
        """Move the averaged weights towards the latest: decay times themselves, the rest from the latest."""
        latest = dict(self.get_bare_model(self.net_g).named_parameters())
        with torch.no_grad():
            for name, averaged in self.net_g_ema.named_parameters():
                averaged.mul_(decay).add_(latest[name], alpha=1 - decay)

    def update_learning_rate(self, current_iter: int) -> None:
        """Set the rate of step ``current_iter``, which counts from 1; ``train.warmup_iter`` comes on top."""
        if current_iter > 1:
            self.scheduler.step()
        warmup = self.opt["train"].get("warmup_iter", -1)
        if current_iter < warmup:
            for group in self.optimizer_g.param_groups:
                group["lr"] = group["initial_lr"] / warmup * current_iter

    @property
    def out_of_time(self) -> bool:
        """True once a budget of time of the schedule is used up."""
        return isinstance(self.scheduler, WarmupCosine) and self.scheduler.out_of_time

    def last_iteration(self, current_iter: int) -> int:
        """The step that will be the last: ``total_iter``, or where the pace so far leads in a budget of time."""
        last = int(self.opt["train"]["total_iter"])
        if isinstance(self.scheduler, WarmupCosine) and self.scheduler.progress > 0:
            last = min(last, round((current_iter - 1) / self.scheduler.progress))  # the share of the steps before
        return max(current_iter, last)

    def feed_data(self, data: dict[str, Any]) -> None:
        """Take a batch; a dataset of BasicSR's knows no level, which is 0 then."""
        self.lq = data["lq"].to(self.device)
        self.gt = data["gt"].to(self.device)
        self.level = data.get("level", torch.zeros(len(self.lq))).to(self.device)

    def optimize_parameters(self, current_iter: int) -> None:
        """One step on the current batch; ``current_iter`` counts from 1."""
        self.optimizer_g.zero_grad()
        total = torch.zeros((), device=self.device)
        parts = zip(*(tensor.chunk(self._accumulate) for tensor in self.batch()), strict=True)
        for part in parts:
            loss = self.loss(*part) * (len(part[0]) / len(self.lq))
            loss.backward()
            total += loss.detach()
        if self._grad_clip is not None:
            nn.utils.clip_grad_norm_(self.net_g.parameters(), self._grad_clip)
        self.optimizer_g.step()
        if self.opt["dist"]:
            dist.reduce(total, dst=0)
            total /= self.opt["world_size"]
        self.log_dict = {"l_pix": total.item()}
        if self.ema_decay > 0:
            # a short memory at first, or the random start would weigh in the average for thousands of steps
            self.model_ema(decay=min(self.ema_decay, current_iter / (current_iter + 9)))

    def batch(self) -> tuple[Tensor, ...]:
        """What :meth:`loss` takes, for the whole batch."""
        return self.lq, self.gt, self.level

    def loss(self, lq: Tensor, gt: Tensor, level: Tensor) -> Tensor:
        """The loss of a batch, a scalar; lq and gt are (B, C, H, W), level is (B,)."""
        with self.autocast():
            restored = self._restored(self.net_g, lq, level)
        loss: Tensor = self.cri_pix(restored.float(), gt)
        return loss

    def _restored(self, network: nn.Module, lq: Tensor, level: Tensor) -> Tensor:
        restored: Tensor = network(lq, level) if self.opt["network_g"]["type"] in NETWORKS else network(lq)
        return restored

    def autocast(self) -> torch.autocast:
        """The precision that the options ask for."""
        return torch.autocast(self.device.type, dtype=self._autocast_dtype, enabled=self._autocast_dtype is not None)

    def test(self) -> None:
        """Restore the current batch with the averaged weights if there are any, in float32."""
        network = fast_on_cpu(self.networks()[-1][1])
        training = network.training
        network.eval()
        tile = self.opt["val"].get("tile")
        with torch.inference_mode():
            if tile is None:
                self.output = self._restored(network, self.lq, self.level)
            else:
                overlap = self.opt["val"].get("tile_overlap", 32)

                def restore(x: NDArray[np.float32]) -> NDArray[np.float32]:
                    moved = torch.from_numpy(x).to(self.lq.device)
                    tensor: Tensor = self._restored(network, moved, self.level)
                    return tensor.cpu().numpy()

                self.output = torch.from_numpy(
                    restore_in_tiles(restore, self.lq.cpu().numpy(), tile=tile, overlap=overlap)
                )
        network.train(training)

    def networks(self) -> list[tuple[str, Any]]:
        """Network and, where there is one, averaged network, under their keys in a checkpoint."""
        averaged = [] if self.net_g_ema is None else [("params_ema", self.net_g_ema)]
        return [("params", self.get_bare_model(self.net_g)), *averaged]

    def load_network(self, network: Any, load_path: str, param_key: str) -> None:
        """Load a checkpoint or a safetensors file, without unpickling anything but tensors."""
        tensors = read_tensors(Path(load_path), param_key)
        logger.info(f"Loading {type(network).__name__} from {load_path} [{param_key}].")
        if not self.opt["path"].get("strict_load_g", True):
            tensors, left_out = matching_tensors(tensors, network.state_dict())
            logger.info(f"Tensors left as they were: {', '.join(left_out) or 'none'}.")
            own = network.state_dict()
            tensors.update({name: own[name] for name in left_out})
        try:
            network.load_state_dict(tensors)
        except RuntimeError as error:
            raise ValueError(
                f"{load_path} holds the weights of another network than network_g describes: "
                "change one of the two, or set strict_load_g: false."
            ) from error

    def validation(self, loader: Any, current_iter: int, tb_logger: Any = None, save_img: bool = False) -> None:
        """Measure on a set, in the first process alone."""
        if self.opt["rank"] == 0:
            self.validate(loader, current_iter, tb_logger, save_img)

    def validate(self, loader: Any, current_iter: int, tb_logger: Any, save_img: bool) -> None:
        """Restore the images of a set, and log the mean of each metric: ``metric_results`` holds them too."""
        name, sections = loader.dataset.opt["name"], self.opt["val"].get("metrics") or {}
        totals = dict.fromkeys(sections, 0.0)
        for item in tqdm(loader, unit="image", disable=not self.opt["val"].get("pbar", False)):
            self.feed_data(item)
            self.test()
            restored, truth = to_image(self.output), to_image(self.gt)
            if save_img:
                image = Path(item["lq_path"][0]).stem
                save_png(Path(self.opt["path"]["visualization"]) / image / f"{image}_{current_iter}.png", restored)
            for key, section in sections.items():
                # the order of the axes is that of all images here
                options = {k: value for k, value in section.items() if k not in ("type", "better", "input_order")}
                totals[key] += find_metric(section["type"])(restored, truth, **options)
        self.metric_results = {key: total / len(loader) for key, total in totals.items()}
        if sections:
            self._log_metrics(name, current_iter, tb_logger)

    def _log_metrics(self, dataset: str, current_iter: int, tb_logger: Any) -> None:
        lines = [f"Validation {dataset}"]
        for key, value in self.metric_results.items():
            sign = -1 if self.opt["val"]["metrics"][key].get("better") == "lower" else 1
            so_far = self._best.get((dataset, key), (value, current_iter))
            best, step = max((value, current_iter), so_far, key=lambda scored: sign * scored[0])
            self._best[dataset, key] = best, step
            lines.append(f"\t # {key}: {value:.4f}\tBest: {best:.4f} @ {step} iter")
            if tb_logger:
                tb_logger.add_scalar(f"metrics/{dataset}/{key}", value, current_iter)
        logger.info("\n".join([*lines, ""]))

    def save(self, current_iter: int) -> None:
        """Write the checkpoint and the training state of a step; the first process does."""
        self.save_checkpoint(str(current_iter))
        self.save_training_state(current_iter)

    def save_checkpoint(self, label: str) -> None:
        """Write ``net_g_<label>.pth``; the first process does."""
        if self.opt["rank"] == 0:
            with atomic_path(Path(self.opt["path"]["models"]) / f"net_g_{label}.pth") as temporary:
                torch.save(self.checkpoint(), temporary)

    def checkpoint(self) -> dict[str, dict[str, Tensor]]:
        """State dicts on the CPU: the latest weights under ``params``, the averaged ones under ``params_ema``."""
        return {key: on_cpu(network) for key, network in self.networks()}

    def save_training_state(self, current_iter: int) -> None:
        """Write what resuming needs beside the checkpoint, the random state too; the first process does."""
        if self.opt["rank"] != 0:
            return
        state = {
            "epoch": 0,
            "iter": current_iter,
            "optimizers": [self.optimizer_g.state_dict()],
            "schedulers": [self.scheduler.state_dict()],
            "random_state": get_random_state(),
        }
        with atomic_path(Path(self.opt["path"]["training_states"]) / f"{current_iter}.state") as temporary:
            torch.save(state, temporary)

    def resume_training(self, resume_state: dict[str, Any]) -> None:
        """Go on from a training state, whose weights are loaded by ``path.pretrain_network_g``."""
        (optimizer,), (scheduler,) = resume_state["optimizers"], resume_state["schedulers"]
        self.optimizer_g.load_state_dict(optimizer)
        self.scheduler.load_state_dict(scheduler)
        set_random_state(resume_state["random_state"])


def on_cpu(module: nn.Module) -> dict[str, Tensor]:
    """A state dict whose tensors are on the CPU."""
    return {name: tensor.detach().cpu() for name, tensor in module.state_dict().items()}
