"""No mixing: what the network does by its convolutions alone."""

from __future__ import annotations

from torch import Tensor

from vheatir.nn.mixers.interface import TokenMixer

__all__ = ["IdentityMixer"]


class IdentityMixer(TokenMixer):
    """``u``: the control of every comparison. The depthwise convolution and the gate around it remain."""

    name = "identity"

    def forward(self, u: Tensor, embedding: Tensor | None, level: Tensor | None) -> Tensor:
        """u, as it is."""
        return u
