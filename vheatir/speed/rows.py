"""The competitors of a speed measurement, each built for one size on one device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import torch
from torch import Tensor, nn

from vheatir.inference.backends import BackendName
from vheatir.inference.restorer import Restorer
from vheatir.nn import VHeatIR, VHeatPyramid, configuration
from vheatir.nn.condition import UNKNOWN, noise_condition
from vheatir.nn.cpu import fast_on_cpu
from vheatir.nn.mixers import MixerName
from vheatir.speed.reference import DenseHeat, Heat, SwinIR, swinir_class
from vheatir.speed.row_list import ROW_FACTS, RowFacts
from vheatir.weights.file import Task

__all__ = ["CHANNELS", "ROWS", "HeatRow", "NetworkRow", "RestorerRow", "Row"]

#: images are RGB
CHANNELS: Final = 3
#: channels of the lone operator: those of SwinIR's lightweight model
HEAT_CHANNELS: Final = 60
SIGMA: Final = 25.0

#: one measured call, which returns what it computed
Call = Callable[[], Tensor]


@dataclass(frozen=True)
class NetworkRow:
    """A network that restores a whole image in one pass, in full precision; weights are random, which costs the same.

    Attributes:
        title: what it is, for tables.
        make: builds the network.
        levels: what it is told, one image's condition.
        is_swinir: it needs BasicSR.
    """

    title: str
    make: Callable[[], nn.Module]
    levels: float | tuple[float, ...] = noise_condition(SIGMA)
    is_swinir: bool = False

    def prepare(self) -> None:
        """Import what the row needs, so that a measurement of memory can leave it out.

        Raises:
            CostError: if BasicSR is needed and not installed.
        """
        if self.is_swinir:
            swinir_class()

    def build(self, size: int, device: torch.device) -> Call:
        """Make the call that restores one image of size x size."""
        network = fast_on_cpu(self.make().eval().requires_grad_(False).to(device))
        if not self.is_swinir:  # each is run as its own users run it
            network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        image, level = _image(size).to(device), torch.tensor([self.levels], device=device)

        @torch.inference_mode()
        def call() -> Tensor:
            restored: Tensor = network(image, level)
            return restored

        return call


@dataclass(frozen=True)
class HeatRow:
    """The lone operator: both transforms and the decay on (1, N, N, 60), float32.

    Attributes:
        title: what it is, for tables.
        products: ours, or dense ones: as ``"convolution"`` of one tap as published, or by ``"matmul"``.
    """

    title: str
    products: Literal["ours", "convolution", "matmul"]

    def prepare(self) -> None:
        """Nothing is imported on demand."""

    def build(self, size: int, device: torch.device) -> Call:
        """Make the call that conducts on one map of size x size."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            heat = Heat(HEAT_CHANNELS).requires_grad_(False)
        module: nn.Module = fast_on_cpu(heat)
        if self.products != "ours":
            module = DenseHeat(heat, size, size, convolve=self.products == "convolution")
        module = module.eval().to(device)
        u = torch.randn(1, size, size, HEAT_CHANNELS, generator=torch.Generator().manual_seed(0)).to(device)

        @torch.inference_mode()
        def call() -> Tensor:
            conducted: Tensor = module(u)
            return conducted

        return call


@dataclass(frozen=True)
class RestorerRow:
    """The bundled weights as people use them: 8-bit image in and out, default tiles.

    Attributes:
        title: what it is, for tables.
        task: which weights; those of "denoise" are told σ, those of "photo" nothing.
        backend: what computes; ONNX Runtime chooses its device itself.
    """

    title: str
    task: Task = "denoise"
    backend: BackendName = "torch"

    def prepare(self) -> None:
        """Nothing is imported on demand."""

    def build(self, size: int, device: torch.device) -> Call:
        """Make the call that restores one image of size x size."""
        restorer = Restorer(self.task, device=device if self.backend == "torch" else None, backend=self.backend)
        image = np.rint(_image(size)[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
        sigma = SIGMA if self.task == "denoise" else None
        return lambda: torch.from_numpy(restorer.restore(image, sigma=sigma))


Row = NetworkRow | HeatRow | RestorerRow


def _ours(name: str, mixer: MixerName = "heat") -> Callable[[], nn.Module]:
    return lambda: VHeatIR(configuration(name, CHANNELS), mixer=mixer)


def _swinir(embed_dim: int, depths: tuple[int, ...]) -> Callable[[], nn.Module]:
    return lambda: SwinIR(in_chans=CHANNELS, embed_dim=embed_dim, depths=depths)


def _row(facts: RowFacts) -> Row:
    if facts.kind == "ours":
        return NetworkRow(facts.title, _ours(**facts.options))
    if facts.kind == "photo":
        return NetworkRow(facts.title, VHeatPyramid, levels=(UNKNOWN, UNKNOWN))
    if facts.kind == "swinir":
        return NetworkRow(facts.title, _swinir(**facts.options), is_swinir=True)
    if facts.kind == "restorer":
        return RestorerRow(facts.title, **facts.options)
    return HeatRow(facts.title, **facts.options)


#: by the name on the command line
ROWS: Final[Mapping[str, Row]] = {name: _row(facts) for name, facts in ROW_FACTS.items()}


def _image(size: int) -> Tensor:
    """Noise in [0, 1], (1, 3, N, N): what an image shows does not change its cost."""
    return torch.rand(1, CHANNELS, size, size, generator=torch.Generator().manual_seed(0))
