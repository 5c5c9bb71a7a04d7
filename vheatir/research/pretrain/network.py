"""``QBHeat``: the restoration backbone on a quarter of the image, linear extrapolation, and a small decoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vheatir.nn import VHeatIR
from vheatir.research.pretrain.extrapolation import SOURCES, Source, extrapolate

__all__ = ["CORNERS", "FeatureDecoder", "HeatExtrapolation", "QBHeat", "QuarterHead", "quarter", "to_top_left"]

#: the image's axes to flip, so that the block in this corner comes to lie top left
CORNERS = ((), (-1,), (-2,), (-2, -1))


def to_top_left(image: Tensor, corner: int) -> Tensor:
    """Flip an image so that a corner comes to lie top left; the same flip takes it back.

    Args:
        image: shape (..., H, W).
        corner: 0 top left, 1 top right, 2 bottom left, 3 bottom right.
    """
    return image.flip(CORNERS[corner]) if CORNERS[corner] else image


def quarter(image: Tensor, corner: int) -> Tensor:
    """The quarter of (..., H, W) that lies in a corner, (..., H/2, W/2), flipped as if it lay top left."""
    height, width = image.shape[-2:]
    return to_top_left(image, corner)[..., : height // 2, : width // 2]


class HeatExtrapolation(nn.Module):
    """Learned A and B, C x C, that commute and let nothing grow with the distance.

    ``A = Q L_A Q^T`` and ``B = Q L_B Q^T`` with one orthogonal Q, the exponential of a skew-symmetric matrix; L_A and
    L_B are block-diagonal, with blocks ``[[-a, -w], [w, -a]]``, a > 0: eigenvalues -a ± iw. Hence

    * AB = BA, which z_xy = z_yx asks for, holds by construction;
    * exp(ΔA) has the spectral norm exp(-Δ min a) < 1: predictions are bounded at every distance Δ > 0;
    * B² can be inverted, and so S = -A²(B²)^-1 exists.

    That Q is orthogonal costs nothing: any commuting pair with such eigenvalues takes this form by a change of basis,
    which the convolution before the features and the one behind them can absorb. This parametrisation is the project's
    choice, and so are the starting values: Q = 1, decay rates evenly spaced in log a, as the conductivities of the
    backbone are, the same along x and y, and w at random, below a.

    Args:
        channels: C.
        sources: see :func:`vheatir.research.pretrain.extrapolation.extrapolate_axis`.

    Raises:
        ValueError: if sources is empty or names an unknown rule.
    """

    def __init__(self, channels: int, sources: Sequence[Source]) -> None:
        super().__init__()
        if not sources or not set(sources) <= set(SOURCES):
            raise ValueError(f"sources is a list of {', '.join(SOURCES)}, not {list(sources)}.")
        self.sources = tuple(sources)
        pairs = (channels + 1) // 2
        slow, fast = 1 / 256, 1 / 2  # per position: across the largest training blocks, and within two positions
        decay = torch.logspace(0, 1, pairs, base=fast / slow) * slow
        self.log_decay = nn.Parameter(decay.log().expand(2, pairs).clone())
        self.frequency = nn.Parameter(decay[: channels // 2] * (2 * torch.rand(2, channels // 2) - 1))
        self.basis = nn.Parameter(torch.zeros(channels, channels))

    def generators(self) -> tuple[Tensor, Tensor]:
        """A and B, each (C, C)."""
        basis = torch.matrix_exp(self.basis - self.basis.T)
        modes = (_block_diagonal(*mode) for mode in zip(self.log_decay.exp(), self.frequency, strict=True))
        a, b = (basis @ mode @ basis.T for mode in modes)
        return a, b

    def forward(self, block: Tensor) -> Tensor:
        """Features of the block (B, C, h, w) -> of the image (B, C, 2h, 2w), in float32, block top left."""
        with torch.autocast(block.device.type, enabled=False):  # powers multiply rounding errors too
            step_x, step_y = torch.matrix_exp(torch.stack(self.generators()))
            return extrapolate(block.float(), step_x, step_y, self.sources)


class FeatureDecoder(nn.Module):
    """Features to pixels: residual blocks of a 3x3 convolution, GELU and a 1x1 convolution, then one convolution.

    It sees few positions around each, so that what lies far from the block must come from the extrapolation.

    Args:
        channels: C.
        in_chans: channels of the image.
        downscale: side of the pixel blocks that a position stands for.
        depth: number of residual blocks, 0 for a linear decoder.
    """

    def __init__(self, channels: int, *, in_chans: int, downscale: int, depth: int) -> None:
        super().__init__()
        self.downscale = downscale
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.GELU(), nn.Conv2d(channels, channels, 1))
            for _ in range(depth)
        )
        self.to_pixels = nn.Conv2d(channels, in_chans * downscale**2, 3, padding=1)
        nn.init.constant_(self.to_pixels.get_parameter("bias"), 0.5)  # mid-gray

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H/s, W/s) -> (B, in_chans, H, W)."""
        for block in self.blocks:
            features = features + block(features)
        return F.pixel_shuffle(self.to_pixels(features), self.downscale)


class QuarterHead(nn.Module):
    """What pretraining adds to the backbone, and fine-tuning leaves behind.

    Args:
        extrapolation: features of the block to features of the image.
        decoder: features of the image to pixels.
    """

    def __init__(self, extrapolation: HeatExtrapolation, decoder: FeatureDecoder) -> None:
        super().__init__()
        self.extrapolation = extrapolation
        self.decoder = decoder

    def forward(self, block: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, in_chans, 2hs, 2ws)."""
        image: Tensor = self.decoder(self.extrapolation(block))
        return image


class QBHeat(nn.Module):
    """Rebuilds an image from one quarter of it.

    Args:
        backbone: arguments of :class:`vheatir.nn.VHeatIR`. Its last convolution has no part in this, and keeps
            the zeros that it starts with: fine-tuning begins with the identity.
        sources: see :class:`HeatExtrapolation`.
        decoder_depth: residual blocks of the decoder.

    Raises:
        ValueError: if an argument is outside its range.
    """

    def __init__(self, *, backbone: Mapping[str, Any], sources: Sequence[Source], decoder_depth: int) -> None:
        super().__init__()
        if decoder_depth < 0:
            raise ValueError(f"decoder_depth is 0 or more, not {decoder_depth}.")
        self.backbone = VHeatIR(**backbone)
        self.backbone.conv_last.requires_grad_(False)
        config, channels = self.backbone.config, self.backbone.config.embed_dim
        decoder = FeatureDecoder(channels, in_chans=config.in_chans, downscale=config.downscale, depth=decoder_depth)
        self.head = QuarterHead(HeatExtrapolation(channels, sources), decoder)

    def forward(self, image: Tensor, condition: Tensor | None, corner: int) -> Tensor:
        """Rebuild images of which the network sees one quarter.

        Args:
            image: shape (B, in_chans, H, W), values in [0, 1], H and W multiples of 2 ``downscale``.
            condition: as for the backbone, shape (B,): 0 for clean images.
            corner: which quarter it sees, as in :func:`to_top_left`.

        Returns:
            The whole images, shape of ``image``.

        Raises:
            ValueError: if H or W is no multiple of 2 ``downscale``.
        """
        height, width = image.shape[-2:]
        multiple = 2 * self.backbone.config.downscale
        if height % multiple or width % multiple:
            raise ValueError(f"The sides of the image are multiples of {multiple}, not {height} and {width}.")
        return to_top_left(self.head(self.backbone.features(quarter(image, corner), condition)), corner)


def _block_diagonal(decay: Tensor, frequency: Tensor) -> Tensor:
    """Blocks [[-a, -w], [w, -a]] down the diagonal; of an odd number of channels the last has no partner."""
    channels = len(decay) + len(frequency)
    diagonal = decay.repeat_interleave(2)[:channels]
    side = torch.stack((frequency, torch.zeros_like(frequency)), dim=-1).flatten()[: channels - 1]
    return torch.diag(side, -1) - torch.diag(side, 1) - torch.diag(diagonal)
