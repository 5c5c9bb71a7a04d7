"""Heat conduction in closed form: vHeat's operator."""

from __future__ import annotations

import torch
from torch import Tensor

from vheatir.nn.mixers.interface import TokenMixer
from vheatir.nn.ops import HeatConduction2d

__all__ = ["HeatMixer"]


class HeatMixer(HeatConduction2d, TokenMixer):
    """``IDCT2(DCT2(u) * exp(-k (w_n^2 + w_m^2)))`` on some of the channels; the others pass by.

    Source: vHeat, "Building Vision Models upon Heat Conduction", CVPR 2025, equations 4 to 8. Two options make it
    cheaper, both this project's own: ``heat_ratio`` conducts fewer channels, ``spectrum_ratio`` fewer frequencies.

    Args:
        dim: C.
        embedding_channels: length of the frequency value embeddings.
        heat_ratio: share of the channels that conduct.
        spectrum_ratio: see :class:`vheatir.nn.ops.HeatConduction2d`, like the remaining options.
        k_min: smallest starting conductivity, in square pixels of the feature map.
        k_max: largest starting conductivity.
        residual: the step u + g (heat(u) - u).
        content: k follows the pooled content.
        level: k follows the noise level or JPEG quality.
        window: side of the windows, or None for the whole map.
        shifted: shift the windows by half.

    Raises:
        ValueError: if heat_ratio is outside (0, 1]; or as the operator.
    """

    name = "heat"
    reads_frequencies = True

    def __init__(
        self,
        dim: int,
        *,
        embedding_channels: int,
        heat_ratio: float,
        spectrum_ratio: float,
        k_min: float,
        k_max: float,
        residual: bool,
        content: bool,
        level: bool,
        window: int | None,
        shifted: bool,
    ) -> None:
        if not 0 < heat_ratio <= 1:
            raise ValueError(f"heat_ratio is a share of the channels, more than 0 and at most 1, not {heat_ratio}.")
        conducting = max(1, round(dim * heat_ratio))
        super().__init__(
            conducting,
            embedding_channels=embedding_channels,
            k_min=k_min,
            k_max=k_max,
            residual=residual,
            content=content,
            level=level,
            window=window,
            shifted=shifted,
            spectrum_ratio=spectrum_ratio,
        )
        self.conducting = conducting

    def forward(self, u: Tensor, embedding: Tensor | None, level: Tensor | None = None) -> Tensor:
        """u (B, H, W, C), embedding (R + 1, R + 1, E), level (B,) or None -> (B, H, W, C)."""
        assert embedding is not None, "heat reads the frequency value embeddings"
        conducting = u[..., : self.conducting]
        heated = self.conduct(conducting, embedding, level, overwrite=True)
        if heated is conducting:
            return u
        if self.conducting == u.shape[-1]:
            return heated
        return torch.cat((heated, u[..., self.conducting :]), dim=-1)
