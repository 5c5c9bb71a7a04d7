"""``RestorationModel``: BasicSR's image model with a level, mixed precision and exact resuming."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from vheatir.inference.tiling import restore_in_tiles
from vheatir.nn.cpu import fast_on_cpu
from vheatir.nn.precision import computes_bfloat16
from vheatir.system.atomic import atomic_path
from vheatir.training.basicsr import MODEL_REGISTRY, SRModel, get_root_logger
from vheatir.training.checkpoint import matching_tensors, read_tensors
from vheatir.training.muon import Muon
from vheatir.training.random_state import get_random_state, set_random_state
from vheatir.training.schedule import WarmupCosine

__all__ = ["RestorationModel"]

_AUTOCAST_DTYPES = {"fp32": None, "bf16": torch.bfloat16}


@MODEL_REGISTRY.register()
class RestorationModel(SRModel):  # type: ignore[misc]
    """Trains and validates a network that is called as ``net(lq, level)``.

    On top of BasicSR's ``SRModel`` (losses, EMA, metrics, logging), options under ``train``:

    * ``precision``: ``fp32``, ``bf16`` (autocast, CPU or CUDA), or ``auto``: bf16 where the processor computes in it;
    * ``grad_clip``: bound on the norm of the gradient;
    * ``accumulate``: the batch goes through the network in that many equal parts, with one step at the end;
    * ``compile``: compile the network with torch.compile;
    * ``optim_g: {type: AdamW, ...}``, ``optim_g: {type: Muon, ...}`` (:class:`vheatir.training.muon.Muon`) and
      ``scheduler: {type: WarmupCosine, ...}`` beside BasicSR's own;
    * ``path.pretrain_network_g``: a BasicSR checkpoint or a safetensors file; with ``strict_load_g: false`` tensors of
      other shapes are left as they are, which starts a colour model from a gray one.

    Under ``val``: ``tile`` and ``tile_overlap`` restore in tiles rather than the whole image at once. Training states
    hold the random state too and are written under a temporary name first.
    """

    def model_to_device(self, net: nn.Module) -> nn.Module:
        net = net.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.opt["dist"] and self.device.type == "cpu":
            return DistributedDataParallel(net)
        on_device: nn.Module = super().model_to_device(net)
        return on_device

    def init_training_settings(self) -> None:
        train = self.opt["train"]
        precision = train.get("precision", "fp32")
        if precision == "auto":
            precision = "bf16" if computes_bfloat16(self.device) else "fp32"
        self._autocast_dtype = _AUTOCAST_DTYPES[precision]
        self._grad_clip = train.get("grad_clip")
        self._accumulate = int(train.get("accumulate", 1))
        super().init_training_settings()
        if train.get("compile", False):
            self.net_g.compile()

    def get_optimizer(self, optim_type: str, params: list[Tensor], lr: float, **options: Any) -> torch.optim.Optimizer:
        if optim_type == "AdamW":
            return torch.optim.AdamW(params, lr, **options)
        if optim_type == "Muon":
            return Muon(params, lr, **options)
        optimizer: torch.optim.Optimizer = super().get_optimizer(optim_type, params, lr, **options)
        return optimizer

    def setup_schedulers(self) -> None:
        scheduler = self.opt["train"]["scheduler"]
        if scheduler["type"] != "WarmupCosine":
            super().setup_schedulers()
            return
        options = {key: value for key, value in scheduler.items() if key != "type"}
        total_iter = int(self.opt["train"]["total_iter"])
        self.schedulers = [WarmupCosine(optimizer, total_iter=total_iter, **options) for optimizer in self.optimizers]

    @property
    def out_of_time(self) -> bool:
        """True once a budget of time of the schedule is used up."""
        return any(isinstance(scheduler, WarmupCosine) and scheduler.out_of_time for scheduler in self.schedulers)

    def last_iteration(self, current_iter: int) -> int:
        """The step that will be the last: ``total_iter``, or where the pace so far leads in a budget of time."""
        shares = [s.progress for s in self.schedulers if isinstance(s, WarmupCosine) and s.progress > 0]
        paced = (round((current_iter - 1) / share) for share in shares)  # the share of the steps before this one
        return max(current_iter, min([int(self.opt["train"]["total_iter"]), *paced]))

    def feed_data(self, data: dict[str, Any]) -> None:
        super().feed_data(data)
        self.level = data["level"].to(self.device)

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
        self.log_dict = self.reduce_loss_dict(OrderedDict(l_pix=total))
        if self.ema_decay > 0:
            # a short memory at first, or the random start would weigh in the average for thousands of steps
            self.model_ema(decay=min(self.ema_decay, current_iter / (current_iter + 9)))

    def batch(self) -> tuple[Tensor, ...]:
        """What :meth:`loss` takes, for the whole batch."""
        return self.lq, self.gt, self.level

    def loss(self, lq: Tensor, gt: Tensor, level: Tensor) -> Tensor:
        """The loss of a batch, a scalar; lq and gt are (B, C, H, W), level is (B,)."""
        with self.autocast():
            restored = self.net_g(lq, level)
        loss: Tensor = self.cri_pix(restored.float(), gt)
        return loss

    def autocast(self) -> torch.autocast:
        """The precision that the options ask for."""
        return torch.autocast(self.device.type, dtype=self._autocast_dtype, enabled=self._autocast_dtype is not None)

    def test(self) -> None:
        """Restore the current batch with the averaged weights if there are any, in float32."""
        network = fast_on_cpu(getattr(self, "net_g_ema", None) or self.get_bare_model(self.net_g))
        training = network.training
        network.eval()
        tile = self.opt["val"].get("tile")
        with torch.inference_mode():
            if tile is None:
                self.output = network(self.lq, self.level)
            else:
                overlap = self.opt["val"].get("tile_overlap", 32)
                self.output = restore_in_tiles(lambda x: network(x, self.level), self.lq, tile=tile, overlap=overlap)
        network.train(training)

    def load_network(self, net: nn.Module, load_path: str, strict: bool = True, param_key: str = "params") -> None:
        """Load a BasicSR checkpoint or a safetensors file, without unpickling anything but tensors."""
        network = self.get_bare_model(net)
        if not self.is_train and "param_key_g" not in self.opt["path"]:
            param_key = "params_ema"  # what training validates and what users get
        tensors = read_tensors(Path(load_path), param_key)
        logger = get_root_logger()
        logger.info(f"Loading {type(network).__name__} from {load_path} [{param_key}].")
        if not strict:
            tensors, left_out = matching_tensors(tensors, network.state_dict())
            logger.info(f"Tensors left as they were: {', '.join(left_out) or 'none'}.")
            # from net_g, so that the averaged copy starts with the same random values
            own = self.get_bare_model(self.net_g).state_dict()
            tensors.update({name: own[name] for name in left_out})
        try:
            network.load_state_dict(tensors)
        except RuntimeError as error:
            raise ValueError(
                f"{load_path} holds the weights of another network than network_g describes: "
                "change one of the two, or set strict_load_g: false."
            ) from error

    def save_training_state(self, epoch: int, current_iter: int) -> None:
        if current_iter == -1 or self.opt["rank"] != 0:
            return
        state = {
            "epoch": epoch,
            "iter": current_iter,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "schedulers": [scheduler.state_dict() for scheduler in self.schedulers],
            "random_state": get_random_state(),
        }
        path = Path(self.opt["path"]["training_states"]) / f"{current_iter}.state"
        with atomic_path(path) as temporary:
            torch.save(state, temporary)

    def resume_training(self, resume_state: dict[str, Any]) -> None:
        super().resume_training(resume_state)
        set_random_state(resume_state["random_state"])
