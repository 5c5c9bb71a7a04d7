"""Token mixers: the part of a block in which positions exchange information, behind one interface.

A new one is a class here and an entry in :data:`MIXERS`; its options are fields of :class:`vheatir.nn.VHeatIRConfig`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Final, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vheatir.nn.heat import HeatConduction2d
from vheatir.nn.precision import autocast_off
from vheatir.nn.windows import count_windows, cut_windows, join_windows

if TYPE_CHECKING:
    from vheatir.nn.vheatir import VHeatIRConfig

__all__ = [
    "MIXERS",
    "AttentionMixer",
    "HcNetMixer",
    "HcNetStep",
    "HeatMixer",
    "IdentityMixer",
    "MixerName",
    "TokenMixer",
    "default_heads",
]

MixerName = Literal["heat", "attention", "hcnet", "identity"]
#: k of HcNet's step is one constant; learned per channel; or computed from the pooled input (Table 5 of the paper)
HcNetStep = Literal["fixed", "learned", "input"]


class TokenMixer(nn.Module, ABC):
    """What mixes tokens; everything around it is the same for all mixers.

    Each is made by ``Mixer(config, shifted=...)``: the options of the network, and whether the block is one of those
    whose windows are shifted.

    Networks are laid out channels-last: a parameter of four dimensions then has other strides. The multiply-adds of
    tables are those of products and convolutions: torch counts a Fourier transform as nothing.

    Attributes:
        reads_frequencies: it takes the frequency value embeddings of its group.
    """

    reads_frequencies: ClassVar[bool] = False

    @abstractmethod
    def forward(self, u: Tensor, embedding: Tensor | None, level: Tensor | None) -> Tensor:
        """Mix.

        Args:
            u: features, shape (B, H, W, C), any H, W >= 1.
            embedding: frequency value embeddings (R + 1, R + 1, C), if ``reads_frequencies``; else None.
            level: noise level σ/255 or JPEG level (100 - quality)/100, shape (B,), or None.

        Returns:
            Features, shape (B, H, W, C); under autocast in autocast's dtype, else in u's.
        """


class HeatMixer(HeatConduction2d, TokenMixer):
    """:class:`vheatir.nn.heat.HeatConduction2d` on a share of the channels (this project's own); the others pass by.

    Raises:
        ValueError: if heat_ratio is outside (0, 1], or an option of the operator outside its range.
    """

    reads_frequencies = True

    def __init__(self, config: VHeatIRConfig, *, shifted: bool) -> None:
        if not 0 < config.heat_ratio <= 1:
            raise ValueError(
                f"heat_ratio is a share of the channels, more than 0 and at most 1, not {config.heat_ratio}."
            )
        conducting = max(1, round(config.embed_dim * config.heat_ratio))
        super().__init__(
            conducting,
            embedding_channels=config.embed_dim,
            k_min=config.k_min,
            k_max=config.k_max,
            residual=config.residual_step,
            content=config.content_conductivity,
            level=config.level_conductivity,
            window=config.window,
            shifted=shifted,
            spectrum_ratio=config.spectrum_ratio,
        )
        self.conducting = conducting

    def forward(self, u: Tensor, embedding: Tensor | None, level: Tensor | None = None) -> Tensor:
        """u (B, H, W, C), embedding (R + 1, R + 1, C), level (B,) or None -> (B, H, W, C)."""
        assert embedding is not None, "heat reads the frequency value embeddings"
        heated = super().forward(u[..., : self.conducting], embedding, level)
        return torch.cat((heated, u[..., self.conducting :]), dim=-1) if self.conducting < u.shape[-1] else heated


class AttentionMixer(TokenMixer):
    """Self-attention in shifted windows: ``softmax(q k^T / sqrt(d) + b) v``, in several heads.

    b is learned per head and offset. Source: Swin Transformer (ICCV 2021), equation 4 and section 3.2 (windows shifted
    by half in every second block, masks where the shift brings opposite edges together); SwinIR (ICCV Workshops 2021).
    With the same weights it gives what SwinIR's block gives, up to rounding. What differs: windows that overhang the
    map are filled, and what fills them is masked, so any size will do and the filling has no influence.

    Raises:
        ValueError: if num_heads does not divide embed_dim, or window is smaller than 1.
    """

    offsets: Tensor

    def __init__(self, config: VHeatIRConfig, *, shifted: bool) -> None:
        super().__init__()
        dim = config.embed_dim
        self.window = window = 8 if config.window is None else config.window  # SwinIR's in denoising
        self.heads = heads = default_heads(dim) if config.num_heads is None else config.num_heads
        if heads < 1 or dim % heads:
            raise ValueError(f"num_heads divides embed_dim; {heads} does not divide {dim}.")
        if window < 1:
            raise ValueError(f"A window needs a side of 1 pixel or more, not {window}.")
        self.shift = window // 2 if shifted else 0
        self.qkv = nn.Linear(dim, 3 * dim)
        self.bias = nn.Parameter(torch.empty((2 * window - 1) ** 2, heads))
        nn.init.trunc_normal_(self.bias, std=0.02)
        self.proj = nn.Linear(dim, dim)
        self.register_buffer("offsets", _offsets(window), persistent=False)

    def forward(self, u: Tensor, embedding: Tensor | None, level: Tensor | None) -> Tensor:
        """u (B, H, W, C) -> (B, H, W, C)."""
        batch, height, width, _ = u.shape
        size = self.window
        rows, columns = count_windows(height, size), count_windows(width, size)
        # row (and column) of the map in each row of the windows, which wrap around; beyond the map, its last row
        sources = [
            _wrapped(torch.arange(count * size, device=u.device) + self.shift, count * size).clamp(max=length - 1)
            for length, count in ((height, rows), (width, columns))
        ]
        places = [
            _wrapped(torch.arange(length, device=u.device) - self.shift, count * size)
            for length, count in ((height, rows), (width, columns))
        ]
        windows = cut_windows(u, size, *sources)
        bias = self.masked_bias((height, width), batch)
        mixed = self._attend(windows.flatten(1, 2), bias).view(windows.shape)
        return join_windows(mixed, (rows, columns), *places)

    def masked_bias(self, size: tuple[int, int], batch: int) -> Tensor:
        """b, and -inf between tokens of a window that are none of each other's: (B * windows, heads, M * M, M * M).

        Args:
            size: H and W of the map.
            batch: B.
        """
        rows, columns = (self._axis_regions(length) for length in size)
        regions = (4 * rows[:, None, :, None] + columns[None, :, None, :]).flatten(2).flatten(0, 1)  # (windows, M * M)
        apart = regions[:, None, :, None] != regions[:, None, None, :]
        return self.bias_of_pairs().masked_fill(apart, float("-inf")).repeat(batch, 1, 1, 1)

    def bias_of_pairs(self) -> Tensor:
        """b for every pair of tokens, (1, heads, M * M, M * M)."""
        return self.bias[self.offsets].permute(2, 0, 1)[None]

    def _attend(self, tokens: Tensor, bias: Tensor) -> Tensor:
        """Tokens (B * windows, M * M, C) -> mixed tokens."""
        count, length, channels = tokens.shape
        qkv = self.qkv(tokens).view(count, length, 3, self.heads, channels // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # (B * windows, heads, M * M, d)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=bias.to(query.dtype))
        output: Tensor = self.proj(mixed.transpose(1, 2).reshape(count, length, channels))
        return output

    def _axis_regions(self, length: int) -> Tensor:
        """Region of each position of an axis of the windows, (windows, M); only tokens of one region attend.

        0, or 1 for what the shift brought around from the other end, plus 2 for what is beyond the map.
        """
        total = count_windows(length, self.window) * self.window
        position = torch.arange(total, device=self.bias.device)
        source = _wrapped(position + self.shift, total)
        return ((source < position).long() + 2 * (source >= length).long()).view(-1, self.window)


def _wrapped(position: Tensor, total: int) -> Tensor:
    """Positions from -total to 2 total - 1, modulo total, by comparisons: an exported graph keeps the size open."""
    return position + total * ((position < 0).long() - (position >= total).long())


def default_heads(dim: int) -> int:
    """SwinIR's 6 heads where they divide the width, or else the largest divisor up to 8."""
    return 6 if dim % 6 == 0 else max(heads for heads in range(1, 9) if dim % heads == 0)


def _offsets(window: int) -> Tensor:
    """Row of the bias table for every pair of tokens, (M * M, M * M): their offset, row by row from (1 - M, 1 - M)."""
    place = torch.arange(window)
    token = torch.cartesian_prod(place, place) if window > 1 else torch.zeros(1, 2, dtype=torch.long)
    offset = token[:, None] - token[None, :] + window - 1
    return offset[..., 0] * (2 * window - 1) + offset[..., 1]


class HcNetMixer(TokenMixer):
    """One explicit step of heat conduction between neighbours: ``z + k (N(z) - W z)``.

    N is the weighted sum of the four neighbours, W the sum of the weights.

    Source: HcNet (arXiv 2408.05901), equations 4 to 6: finite differences of the heat equation in space and one
    explicit Euler step in time, with k = sigmoid(Linear(GAP(z))) per channel, 1/2 at the start.

    What differs from its public code: four neighbours, as in its equations, not 5 x 5; edges are insulated (a neighbour
    outside the map has the value of the edge, so that no heat flows) instead of cold; and the weights are positive and
    sum up to less than 1/2, ``w = sigmoid(a) / 8`` with a learned per neighbour and channel. An explicit step is a
    weighted mean of a pixel and its neighbours if k W <= 1, so nothing can grow; with k W < 1/2 a checkerboard, the
    highest frequency, is damped by 1 - 2 k W > 0 and does not even change its sign.
    """

    def __init__(self, config: VHeatIRConfig, *, shifted: bool) -> None:
        super().__init__()
        dim, step = config.embed_dim, config.hcnet_step
        self.neighbours = nn.Parameter(torch.zeros(dim, 4))
        self.logit = nn.Parameter(torch.zeros(dim)) if step == "learned" else None
        self.linear = nn.Linear(dim, dim) if step == "input" else None
        if self.linear is not None:
            nn.init.zeros_(self.linear.weight)
            nn.init.zeros_(self.linear.bias)

    def forward(self, u: Tensor, embedding: Tensor | None, level: Tensor | None) -> Tensor:
        """u (B, H, W, C) -> (B, H, W, C)."""
        insulated = F.pad(u.permute(0, 3, 1, 2), (1, 1, 1, 1), mode="replicate")
        flow = F.conv2d(insulated, self._kernel(), groups=u.shape[-1]).permute(0, 2, 3, 1)
        return u + self._step(u).to(flow.dtype) * flow

    def weights(self) -> Tensor:
        """Weights of the upper, left, right and lower neighbour, shape (C, 4), each in (0, 1/8)."""
        return torch.sigmoid(self.neighbours) / 8

    def _kernel(self) -> Tensor:
        """``N(z) - W z`` as a depthwise 3 x 3 convolution, (C, 1, 3, 3)."""
        up, left, right, down = self.weights().unbind(1)
        centre, none = -(up + left + right + down), torch.zeros_like(up)
        return torch.stack((none, up, none, left, centre, right, none, down, none), dim=1).view(-1, 1, 3, 3)

    def _step(self, u: Tensor) -> Tensor:
        """k, shape (B or 1, 1, 1, C), in float32 or wider."""
        if self.linear is not None:
            with autocast_off(u.device):
                pooled = u.to(self.linear.weight.dtype).mean(dim=(1, 2))
                logit: Tensor = self.linear(pooled)
        elif self.logit is not None:
            logit = self.logit[None]
        else:
            logit = self.neighbours.new_zeros(1, 1)
        return torch.sigmoid(logit)[:, None, None, :]


class IdentityMixer(TokenMixer):
    """``u``: the control of every comparison. The depthwise convolution and the gate around it remain."""

    def __init__(self, config: VHeatIRConfig, *, shifted: bool) -> None:
        super().__init__()

    def forward(self, u: Tensor, embedding: Tensor | None, level: Tensor | None) -> Tensor:
        """u, as it is."""
        return u


#: every mixer by its name
MIXERS: Final[Mapping[MixerName, type[TokenMixer]]] = {
    "heat": HeatMixer,
    "attention": AttentionMixer,
    "hcnet": HcNetMixer,
    "identity": IdentityMixer,
}
