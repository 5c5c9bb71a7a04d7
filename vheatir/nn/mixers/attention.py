"""Self-attention in shifted windows: what SwinIR mixes with."""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vheatir.nn.mixers.interface import TokenMixer
from vheatir.nn.ops import Linear, count_windows, cut_windows, extend_by_edges, join_windows, take_inner

__all__ = ["AttentionMixer", "default_heads"]

_HEADS: Final = 6
_MOST_HEADS: Final = 8


class AttentionMixer(TokenMixer):
    """``softmax(q k^T / sqrt(d) + b) v`` within windows, in several heads; b is learned per head and offset.

    Source: Swin Transformer (ICCV 2021), equation 4 and section 3.2 (windows shifted by half in every second block,
    masks where the shift brings opposite edges together); SwinIR (ICCV Workshops 2021). With the same weights it gives
    what SwinIR's block gives, up to rounding. What differs: windows that overhang the map are filled, and what fills
    them is masked, so any size will do and the filling has no influence.

    Args:
        dim: C, a multiple of ``heads``.
        window: M, side of the windows.
        heads: number of heads.
        shifted: shift the windows by M // 2.

    Raises:
        ValueError: if heads does not divide dim, or window is smaller than 1.
    """

    name = "attention"
    offsets: Tensor

    def __init__(self, dim: int, *, window: int, heads: int, shifted: bool) -> None:
        super().__init__()
        if heads < 1 or dim % heads:
            raise ValueError(f"num_heads divides embed_dim; {heads} does not divide {dim}.")
        if window < 1:
            raise ValueError(f"A window needs a side of 1 pixel or more, not {window}.")
        self.window = window
        self.heads = heads
        self.shift = window // 2 if shifted else 0
        self.qkv = Linear(dim, 3 * dim)
        self.bias = nn.Parameter(torch.empty((2 * window - 1) ** 2, heads))
        nn.init.trunc_normal_(self.bias, std=0.02)
        self.proj = Linear(dim, dim)
        self.register_buffer("offsets", _offsets(window), persistent=False)

    def forward(self, u: Tensor, embedding: Tensor | None, level: Tensor | None) -> Tensor:
        """u (B, H, W, C) -> (B, H, W, C)."""
        batch, height, width, _ = u.shape
        size = self.window
        rows, columns = count_windows(height, size), count_windows(width, size)
        # a graph for every size always extends, by nothing where nothing is needed
        overhangs = torch.compiler.is_compiling() or (rows * size, columns * size) != (height, width)
        if overhangs:
            u = extend_by_edges(extend_by_edges(u, 1, 0, rows * size), 2, 0, columns * size)
        regions = None
        if overhangs or self.shift > 0:
            regions = _regions((height, width), (rows, columns), size, self.shift, u.device)
        windows = cut_windows(self._roll(u, -self.shift), rows, columns)
        mixed = self._attend(windows.flatten(1, 2), regions, batch).view(windows.shape)
        u = self._roll(join_windows(mixed, rows, columns), self.shift)
        return take_inner(take_inner(u, 1, 0, height), 2, 0, width) if overhangs else u

    def _attend(self, tokens: Tensor, regions: Tensor | None, batch: int) -> Tensor:
        """Tokens (B * windows, M * M, C), and the region of each token of an image's windows -> mixed tokens."""
        count, length, channels = tokens.shape
        qkv = self.qkv(tokens).view(count, length, 3, self.heads, channels // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # (B * windows, heads, M * M, d)
        bias = self.bias[self.offsets].permute(2, 0, 1)[None]  # (1, heads, M * M, M * M)
        if regions is not None:
            apart = regions[:, :, None] != regions[:, None, :]
            bias = bias.masked_fill(apart[:, None], float("-inf")).repeat(batch, 1, 1, 1)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=bias.to(query.dtype))
        output: Tensor = self.proj(mixed.transpose(1, 2).reshape(count, length, channels))
        return output

    def _roll(self, u: Tensor, shift: int) -> Tensor:
        return torch.roll(u, (shift, shift), (1, 2)) if self.shift > 0 else u


def default_heads(dim: int) -> int:
    """SwinIR's 6 heads where they divide the width, or else the largest divisor up to 8."""
    if dim % _HEADS == 0:
        return _HEADS
    return max(heads for heads in range(1, _MOST_HEADS + 1) if dim % heads == 0)


def _offsets(window: int) -> Tensor:
    """Row of the bias table for every pair of tokens, (M * M, M * M): their offset, row by row from (1 - M, 1 - M)."""
    place = torch.arange(window)
    token = torch.cartesian_prod(place, place) if window > 1 else torch.zeros(1, 2, dtype=torch.long)
    offset = token[:, None] - token[None, :] + window - 1
    return offset[..., 0] * (2 * window - 1) + offset[..., 1]


def _regions(
    map_size: tuple[int, int], windows: tuple[int, int], size: int, shift: int, device: torch.device
) -> Tensor:
    """Region that each token of each window belongs to, (windows, M * M); only tokens of one region attend.

    Regions of an axis: the map; what the shift brought around from its other end; and what fills either up.
    """
    rows, columns = (
        _axis_regions(length, count, size, shift, device) for length, count in zip(map_size, windows, strict=True)
    )
    regions = 4 * rows[:, None, :, None] + columns[None, :, None, :]  # (rows, columns, M, M)
    return regions.reshape(windows[0] * windows[1], size * size)


def _axis_regions(length: int, count: int, size: int, shift: int, device: torch.device) -> Tensor:
    """Region of each position of an axis after the shift, (windows, M): 0 or 1 (brought around), plus 2 (filled up)."""
    position = torch.arange(count * size, device=device)
    source = (position + shift) % (count * size)
    return ((source < position).long() + 2 * (source >= length).long()).view(count, size)
