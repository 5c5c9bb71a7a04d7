"""The one point at which a network becomes fast on a CPU: some of its methods are put in the place of the plain ones.

In inference, work on single positions runs in chunks that stay in the cache, maps within a block are used again for
others, and heat conducts by halved transforms. The numbers are those of the plain network up to rounding
(``tests/nn/cpu/test_fast.py``), which is what runs under autograd, compilers, and on other devices.

A hook that keeps a map from within a block has to copy it; outputs of blocks and groups stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from types import MethodType
from typing import Any, Final, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vheatir.nn.cpu.conduction import blocked_conduction, conduct
from vheatir.nn.cpu.products import in_chunks, linear
from vheatir.nn.heat import HeatConduction2d
from vheatir.nn.mixers import AttentionMixer, HeatMixer
from vheatir.nn.pyramid import VHeatPyramid
from vheatir.nn.vheatir import Block, ResidualGroup, VHeatIR

__all__ = ["fast_on_cpu"]

Network = TypeVar("Network", bound=nn.Module)
Method = Callable[..., Any]


def fast_on_cpu(network: Network) -> Network:
    """Make a network, or a module that holds one, fast in inference on a CPU, and return it.

    Weights, hooks and copies work as before. Twice is the same as once.
    """
    for module in network.modules():
        for kind, methods in _FAST.items():
            if type(module) is kind:
                for name, fast in methods.items():
                    setattr(module, name, MethodType(fast, module))
    return network


def _in_inference(plain: Method) -> Callable[[Method], Method]:
    """Put a fast method in the place of a plain one, where the first tensor is on a CPU and nobody needs gradients."""

    def decorate(fast: Method) -> Method:
        @wraps(fast)
        def method(self: nn.Module, x: Tensor, *arguments: Any, **options: Any) -> Any:
            is_plain = torch.compiler.is_compiling() or torch.is_grad_enabled() or x.device.type != "cpu"
            return (plain if is_plain else fast)(self, x, *arguments, **options)

        return method

    return decorate


@_in_inference(nn.Linear.forward)
def _linear(self: nn.Linear, x: Tensor) -> Tensor:
    return linear(x, self.weight, self.bias)


@_in_inference(HeatConduction2d.conduct)
def _conduct(self: HeatConduction2d, u: Tensor, embedding: Tensor, level: Tensor | None) -> Tensor:
    return conduct(self, u, embedding, level)


@_in_inference(HeatMixer.forward)
def _mix_heat(self: HeatMixer, u: Tensor, embedding: Tensor, level: Tensor | None = None) -> Tensor:
    """Within a block nobody else needs u: the channels that conduct are written over where blocks can do it."""
    conducting = u[..., : self.conducting]
    in_place = self.window is None and self.spectrum_ratio == 1 and not torch.is_autocast_enabled("cpu")
    if in_place and blocked_conduction(conducting) is not None:
        conduct(self, conducting, embedding, level, out=conducting)
        return u
    return HeatMixer.forward(self, u, embedding, level)


@_in_inference(Block.forward)
def _block(self: Block, x: Tensor, embedding: Tensor | None, level: Tensor | None) -> Tensor:
    """What looks beyond single positions on whole maps; all the rest in chunks."""
    branch = self.branch
    spare = self.norm1(x)
    z = branch.local(spare.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    mixed = branch.mixer(in_chunks(branch.value, z, out=spare), embedding, level)

    def add_branch(x: Tensor, z: Tensor, y: Tensor) -> Tensor:
        y = branch.norm(y)
        output: Tensor = x + branch.project(y if branch.gate is None else y * F.silu(branch.gate(z)))
        return output

    def refine(x: Tensor) -> Tensor:
        output: Tensor = x + self.mlp(self.norm2(x))
        return output

    if any(isinstance(layer, nn.Conv2d) for layer in self.mlp):  # looks at its neighbours
        return refine(in_chunks(add_branch, x, z, mixed, out=mixed))
    return in_chunks(lambda *maps: refine(add_branch(*maps)), x, z, mixed, out=mixed)


@_in_inference(ResidualGroup.forward)
def _group(self: ResidualGroup, x: Tensor, level: Tensor | None) -> Tensor:
    if isinstance(self.conv, nn.Identity):
        return ResidualGroup.forward(self, x, level)
    embedding = None if self.embedding is None else self.embedding()
    y = x.permute(0, 2, 3, 1)
    for block in self.blocks:
        y = block(y, embedding, level)
    return _add_into(self.conv(y.permute(0, 3, 1, 2)), x)


@_in_inference(VHeatIR.forward)
def _restore(self: VHeatIR, x: Tensor, condition: Tensor | None = None) -> Tensor:
    return x + self.correction(x, condition)[..., : x.shape[-2], : x.shape[-1]]


@_in_inference(VHeatIR.features)
def _features(self: VHeatIR, x: Tensor, condition: Tensor | None = None) -> Tensor:
    """The shallow features are computed twice: a hundredth of the time for a map less in memory."""
    folded = self.fold(x, condition)
    deep = self.conv_first(folded)
    for group in self.groups:
        deep = group(deep, condition)
    deep = self.norm(deep.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    return _add_into(self.conv_after_body(deep), self.conv_first(folded))


@_in_inference(VHeatPyramid.forward)
def _restore_by_pyramid(
    self: VHeatPyramid, x: Tensor, condition: Tensor, *, strength: float | Tensor = 1.0, with_levels: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    correction, estimate = self.correction(x, condition, strength)
    restored = x + correction[..., : x.shape[-2], : x.shape[-1]]
    return (restored, estimate) if with_levels else restored


@_in_inference(VHeatPyramid.join)
def _join(_self: VHeatPyramid, skip: Tensor, x: Tensor) -> Tensor:
    return _add_into(x, skip)


def _masked_bias(self: AttentionMixer, size: tuple[int, int], batch: int) -> Tensor:
    """One bias for all windows where none overhangs and none is shifted."""
    if torch.compiler.is_compiling() or self.shift > 0 or any(length % self.window for length in size):
        return AttentionMixer.masked_bias(self, size, batch)
    return self.bias_of_pairs()


def _add_into(fresh: Tensor, x: Tensor) -> Tensor:
    """``x + fresh``, written into ``fresh`` where its type allows."""
    return fresh.add_(x) if fresh.dtype == x.dtype else x + fresh


_FAST: Final[dict[type[nn.Module], dict[str, Method]]] = {
    nn.Linear: {"forward": _linear},
    HeatConduction2d: {"conduct": _conduct},
    HeatMixer: {"conduct": _conduct, "forward": _mix_heat},
    AttentionMixer: {"masked_bias": _masked_bias},
    Block: {"forward": _block},
    ResidualGroup: {"forward": _group},
    VHeatIR: {"forward": _restore, "features": _features},
    VHeatPyramid: {"forward": _restore_by_pyramid, "join": _join},
}
