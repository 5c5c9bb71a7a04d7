"""A trained network that takes its level in the user's units, from bundled weights or from a file."""

from __future__ import annotations

from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Final, TypeVar

import torch
from torch import Tensor, nn

from vheatir.levels.levels import Levels, check_levels, told_levels
from vheatir.nn import VHeatIR, VHeatPyramid
from vheatir.nn.condition import UNKNOWN, jpeg_condition, noise_condition
from vheatir.nn.cpu import fast_on_cpu
from vheatir.weights.file import LevelName, ModelName, Task, WeightsHeader, load_weights, save_weights, weights_path
from vheatir.weights.pretrained import CARD, WEIGHTS, pretrained_file, read_card, write_card

__all__ = ["RestorationNetwork", "cached_model", "for_inference", "load_model"]

#: noise from which on all of the correction is made: weaker noise is below what the networks resolve (docs/levels.md)
FULL_SIGMA: Final = noise_condition(2.5)


Model = TypeVar("Model", bound="RestorationNetwork")


class RestorationNetwork(nn.Module):
    """A trained network that takes its levels in the user's units.

    Args:
        network: called ``network(x, condition)`` with condition (B,): σ/255, or (100 - quality)/100; for the task
            "photo" with (B, 2), both, negative where they are not known.
        header: what its weights file says about it.

    Attributes:
        name: "denoise-gray", "denoise-color", "jpeg-gray", "jpeg-color" or "photo".
        task: "denoise", "jpeg" or "photo".
        channels: 1 (gray) or 3 (RGB).
        level_min: smallest level that it was trained for, σ in 8-bit units or JPEG quality; σ for "photo".
        level_max: largest level that it was trained for.
        card: Markdown about the weights, as it stood beside the file that they were loaded from; "" if nothing did.
    """

    def __init__(self, network: nn.Module, header: WeightsHeader) -> None:
        super().__init__()
        self.network = network
        self.header = header
        self.card = ""
        self.name: ModelName = header.name
        self.task: Task = header.task
        self.channels = header.channels
        self.level_min, self.level_max = header.level_range

    def forward(
        self,
        x: Tensor,
        level: float | Tensor | None = None,
        *,
        sigma: float | Tensor | None = None,
        quality: float | Tensor | None = None,
        strength: float | Tensor = 1.0,
    ) -> Tensor:
        """Restore a batch of images of one size.

        Args:
            x: degraded images, shape (B, channels, H, W), values in [0, 1]; for "photo" a gray image has three equal
                channels.
            level: the one level of a network of the tasks "denoise" and "jpeg": the same as ``sigma`` or ``quality``.
            sigma: standard deviation of the noise in 8-bit units, 0 to 255: a number, or a tensor of shape () or (B,).
                The weights know ``level_min`` to ``level_max``; beyond, they extrapolate.
            quality: JPEG quality, 1 to 100, 100 for no compression. A network of the task "photo" takes both, either or
                none, and estimates what it is not told; in a tensor, a negative number stands for that.
            strength: factor of the levels, σ and 100 - quality: a number, or a tensor of shape (B,). At level 0 the
                result is the input, and near it a mixture of the two.

        Returns:
            Restored images, shape (B, channels, H, W), of x's dtype, not clamped. Where sums leave the range of float16
            weights, as in "jpeg-color", float32 computes them again.

        Raises:
            ValueError: if x has another shape, a level is missing or one too many, or a number is no such level.
                Tensors are not checked, since that would make a GPU wait.
        """
        if x.ndim != 4 or x.shape[1] != self.channels:
            raise ValueError(f"Model {self.name} takes (B, {self.channels}, H, W), not {tuple(x.shape)}.")
        condition = self._condition(self._told(level, sigma, quality), x)
        dtype = next(self.network.parameters()).dtype
        restored = self._restore(x.to(dtype), condition, strength)
        if dtype == torch.float16 and not bool(torch.isfinite(restored).all()):
            restored = deepcopy(self).float()._restore(x.float(), condition, strength)
        return restored.to(x.dtype)

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> RestorationNetwork:
        """Load a model from a folder that :meth:`save_pretrained` wrote, or from a repository of the Hugging Face hub.

        Args:
            source: a folder, or ``"owner/name"`` of a repository, which takes the extra ``vheatir[hub]``.
            revision: as for :func:`vheatir.weights.pretrained.pretrained_file`, like all up to ``local_files_only``.
            token: the same.
            cache_dir: the same.
            force_download: the same.
            local_files_only: the same.
            device: as for :func:`load_model`.
            dtype: as for :func:`load_model`.

        Returns:
            As :func:`load_model`; its ``network`` is the :class:`vheatir.VHeatIR` or :class:`vheatir.VHeatPyramid`.

        Raises:
            WeightsError: if there is no such folder, or its file is none of ours.
            OSError: of huggingface_hub, if a repository cannot be read.
        """
        path = pretrained_file(
            source,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            force_download=force_download,
            local_files_only=local_files_only,
        )
        model = load_model(path, device=device, dtype=dtype)
        model.card = read_card(path.with_name(CARD))
        return model

    def save_pretrained(self, folder: str | Path, *, dtype: torch.dtype = torch.float16) -> None:
        """Write the weights and their card, as the Hugging Face hub keeps them, into a folder, made at need.

        Args:
            folder: what is in it under the same names is written over.
            dtype: type in which the weights are stored.

        Raises:
            WeightsError: if a weight is not finite in ``dtype``.
            OSError: if the folder cannot be written to.
        """
        assert isinstance(self.network, VHeatIR | VHeatPyramid)
        folder, header = Path(folder), self.header
        folder.mkdir(parents=True, exist_ok=True)
        save_weights(
            folder / WEIGHTS,
            self.network,
            name=header.name,
            ranges=header.ranges,
            training=header.training,
            licence=header.licence,
            dtype=dtype,
        )
        write_card(folder / CARD, header, self.card)

    def _restore(self, x: Tensor, condition: Tensor, strength: float | Tensor) -> Tensor:
        if self.task != "photo":
            return self._restore_by_one_level(x, condition[:, 0] * strength)
        factor = strength[:, None, None, None] if isinstance(strength, Tensor) else strength
        restored: Tensor = self.network(x, condition, strength=factor)
        return restored

    def _restore_by_one_level(self, x: Tensor, condition: Tensor) -> Tensor:
        """Restore, less and less towards level 0, which these networks have hardly or never seen."""
        if "sigma" in self.header.ranges:
            restored: Tensor = self.network(x, condition)
            weight = (condition / FULL_SIGMA).clamp(max=1)
        else:
            restored = self.network(x, condition.clamp(min=jpeg_condition(self.level_max)))
            weight = _jpeg_weight(100 * condition)
        return torch.lerp(x, restored.to(x.dtype), weight.to(x.dtype)[:, None, None, None])

    def estimate(self, x: Tensor) -> Levels:
        """What a network of the task "photo" sees in an image: the mean levels over all positions.

        Args:
            x: as for :meth:`forward`.

        Raises:
            ValueError: if the network is of another task.
        """
        if not isinstance(self.network, VHeatPyramid):
            raise ValueError(f"Model {self.name} does not estimate levels; photo does.")
        with torch.inference_mode():
            noise, jpeg = self.network.estimate_levels(x.to(next(self.parameters()).dtype)).mean(dim=(0, 2, 3)).tolist()
        return Levels(sigma=255.0 * noise, quality=max(1.0, 100.0 - 100.0 * jpeg))

    def _told(
        self, level: float | Tensor | None, sigma: float | Tensor | None, quality: float | Tensor | None
    ) -> dict[LevelName, float | Tensor | None]:
        """Every level that the network knows, by name."""
        given: dict[LevelName, float | Tensor | None] = {"sigma": sigma, "quality": quality}
        known = list(self.header.ranges)
        if level is not None and (len(known) > 1 or given[known[0]] is not None):
            raise ValueError(f"Model {self.name} takes {' and '.join(known)} by name, and no level beside them.")
        if level is not None:
            given[known[0]] = level
        return told_levels(self.header, given)

    def _condition(self, told: dict[LevelName, float | Tensor | None], x: Tensor) -> Tensor:
        """What the network itself takes: (B, number of levels), negative where nothing is told."""
        columns = []
        for name, value in told.items():
            if value is None:
                columns.append(torch.full((x.shape[0],), UNKNOWN, device=x.device))
                continue
            if not isinstance(value, Tensor):
                check_levels(Levels(**{name: value}))
            levels = torch.as_tensor(value, dtype=torch.float32, device=x.device)
            if levels.shape not in ((), (1,), (x.shape[0],)):
                raise ValueError(
                    f"{name} is a number or has shape ({x.shape[0]},), one for each image, not {tuple(levels.shape)}."
                )
            levels = levels.expand(x.shape[0])
            known = noise_condition(levels) if name == "sigma" else jpeg_condition(levels)
            columns.append(torch.where(levels < 0, UNKNOWN, known))
        return torch.stack(columns, dim=1)


def _jpeg_weight(lost: Tensor) -> Tensor:
    """Share of the correction that is made at ``lost`` = 100 - quality: 0 at 0, 0.3 at 5, 1 from 8 on."""
    return 0.06 * lost.clamp(0, 5) + 0.7 * ((lost - 5) / 3).clamp(0, 1)


def load_model(
    name_or_path: str | Path,
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> RestorationNetwork:
    """Load bundled weights by name, or a weights file.

    Args:
        name_or_path: "photo", "denoise-gray", "denoise-color", "jpeg-gray", "jpeg-color", or the path of a file that
            :func:`vheatir.weights.file.save_weights` wrote.
        device: where to put the model; None means the CPU, as for every new module.
        dtype: type of the weights; None means float32.

    Returns:
        The model in evaluation mode, with frozen weights (``requires_grad_()`` thaws them for fine-tuning).

    Raises:
        WeightsError: if the name or the file is not one of ours.
    """
    path = weights_path(name_or_path)
    model = for_inference(RestorationNetwork(*load_weights(path)))
    model.card = read_card(path.with_suffix(".md"))
    return model.to(device=device, dtype=dtype)


def for_inference(model: Model) -> Model:
    """Return the model in evaluation mode, frozen, and fast on a CPU."""
    fast_on_cpu(model).eval().requires_grad_(False)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
    return model


def cached_model(name_or_path: str | Path, device: torch.device) -> RestorationNetwork:
    """Load a model as :func:`load_model` does, and keep the latest few for the next call.

    Raises:
        WeightsError: if the name or the file is not one of ours.
    """
    path = weights_path(name_or_path)
    return _load_once(path.absolute(), path.stat().st_mtime_ns, device)


@lru_cache(maxsize=4)
def _load_once(path: Path, stamp: int, device: torch.device) -> RestorationNetwork:
    del stamp  # part of the key only: a file that changed is loaded again
    return load_model(path, device=device)
