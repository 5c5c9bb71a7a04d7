"""The blocks of a network, and the conductivity that its heat operators have on an actual image."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from vheatir.inference.network import RestorationNetwork
from vheatir.nn.heat import HeatConduction2d
from vheatir.nn.windows import split_windows
from vheatir.research.explain.conduction import Conduction

__all__ = ["block_label", "block_names", "block_outputs", "conductions"]

_BLOCK = re.compile(r"groups\.(\d+)\.blocks\.(\d+)")


def block_label(name: str) -> str:
    """Name a module for readers: ``groups.0.blocks.1.branch.mixer`` is "group 1, block 2"."""
    place = _BLOCK.search(name)
    return name if place is None else f"group {int(place[1]) + 1}, block {int(place[2]) + 1}"


def conductions(model: RestorationNetwork, image: Tensor, level: float) -> list[Conduction]:
    """Run the network and note the conductivity of every heat operator on the way, in order.

    k that answers to content or level has the value that this image and level give it; where the image is cut into
    windows with a k each, the mean over the windows.

    Args:
        model: the network.
        image: shape (1, channels, H, W), in [0, 1].
        level: σ in 8-bit units, or JPEG quality.

    Returns:
        One entry a heat operator; none where the network has no such operator.
    """
    found: list[Conduction] = []
    with ExitStack() as hooks, torch.no_grad():
        for name, module in model.network.named_modules():
            if isinstance(module, HeatConduction2d):
                hooks.enter_context(_noting(name, module, found))
        model(image, level)
    return found


@contextmanager
def _noting(name: str, operator: HeatConduction2d, found: list[Conduction]) -> Iterator[None]:
    def note(_module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        found.append(_conduction(name, operator, *arguments, **keywords))

    handle = operator.register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def _conduction(
    name: str, operator: HeatConduction2d, u: Tensor, embedding: Tensor, level: Tensor | None = None
) -> Conduction:
    u = u[..., : operator.conductivity.linear.out_features]  # the others do not conduct
    pieces = u if operator.window is None else split_windows(u, operator.window, operator.shift)
    nodes = operator.conductivity_nodes(pieces, embedding, level).mean(dim=0).double()
    gain = torch.ones(nodes.shape[-1]) if operator.gain is None else operator.gain.detach()
    return Conduction(name, nodes.cpu(), gain.double().cpu(), pieces.shape[1], pieces.shape[2])


def block_names(network: nn.Module) -> list[str]:
    """Names of the network's blocks, ``groups.0.blocks.0`` and so on, in the order in which they run."""
    return [name for name, _ in network.named_modules() if _BLOCK.fullmatch(name)]


@contextmanager
def block_outputs(network: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Collect the output (B, H, W, C) of every block while the network runs, by the block's name."""
    outputs: dict[str, Tensor] = {}
    with ExitStack() as hooks:
        for name in block_names(network):
            handle = network.get_submodule(name).register_forward_hook(_collector(name, outputs))
            hooks.callback(handle.remove)
        yield outputs


def _collector(name: str, outputs: dict[str, Tensor]) -> Any:
    def collect(_module: nn.Module, _arguments: tuple[Any, ...], output: Tensor) -> None:
        outputs[name] = output

    return collect
