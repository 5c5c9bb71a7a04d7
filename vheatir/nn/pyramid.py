"""VHeatPyramid: the blocks of VHeatIR on a pyramid of resolutions, one network for noise, JPEG artifacts and both.

Sources: U-Net, MICCAI 2015 (the shape); SCUNet, Machine Intelligence Research 2023 (skips that are added);
vHeat, CVPR 2025 (the operator, :mod:`vheatir.nn.heat`); CBDNet, CVPR 2019 (a small network that estimates the
noise level where nobody tells it, and whose estimate can be scaled). The weight of the correction, which makes the
network the identity where there is nothing to remove, is this project's own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, overload

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vheatir.nn.mixers import MixerName
from vheatir.nn.vheatir import ResidualGroup, VHeatIRConfig, crop_to, pad_to_multiple

__all__ = ["LEVELS", "UNITS", "LevelEstimator", "VHeatPyramid", "VHeatPyramidConfig", "correction_weight"]

#: what a network is told or estimates, in this order: noise σ/255, and JPEG (100 - quality)/100
LEVELS: Final = ("noise", "jpeg")

#: side of the pixel blocks that are folded into channels on entry
_FOLD: Final = 2
#: noise of σ 1, or one point of JPEG quality, each count as 1
UNITS: Final = (255.0, 100.0)
#: starting value of the estimated levels: noise of σ 25
_FIRST_GUESS: Final = 0.1


class LevelEstimator(nn.Module):
    """Maps of the two levels, seen in the image: four convolutions, each value from 38 x 38 pixels.

    Args:
        channels: channels of the folded image.
        width: channels between the convolutions.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(width, width, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(width, len(LEVELS), 1),
        )
        bias = self.layers[-1].bias
        assert isinstance(bias, nn.Parameter)
        nn.init.constant_(bias, math.log(math.expm1(_FIRST_GUESS)))  # the inverse of softplus

    def forward(self, folded: Tensor) -> Tensor:
        """(B, channels, H, W) -> levels of 0 or more, (B, 2, H/4, W/4), sizes rounded up, float32 or wider."""
        estimate: Tensor = self.layers(folded)
        return F.softplus(estimate.to(torch.promote_types(estimate.dtype, torch.float32)))


@dataclass(frozen=True, kw_only=True)
class VHeatPyramidConfig:
    """The options of a pyramid.

    Args:
        in_chans: channels of the image, 1 (gray) or 3 (RGB; a gray image has three equal channels).
        widths: channels of each resolution, the finest first.
        depths: blocks of each group: down, bottom, up; ``2 len(widths) - 1`` of them.
        mixers: token mixer of each resolution, ``"heat"`` or ``"identity"``.
        heat_ratios: share of the channels that conduct, for each resolution; of no meaning without heat.
        k_min: smallest starting conductivity, in square pixels of each resolution's own grid.
        k_max: largest starting conductivity, in square pixels of the finest grid (1/2); a grid twice as coarse
            starts with a quarter of it, the same reach in the image.
        mlp_ratio: width of the MLPs' hidden layer as a multiple of the group's width.
        frequency_resolution: R, intervals of the frequency grid.
        estimator_width: channels of the level estimator.

    Raises:
        ValueError: if an option is outside its range; the message names it.
    """

    in_chans: int = 3
    widths: Sequence[int] = (64, 128, 256)
    depths: Sequence[int] = (3, 3, 4, 3, 3)
    mixers: Sequence[MixerName] = ("identity", "heat", "heat")
    heat_ratios: Sequence[float] = (1.0, 0.25, 1.0)
    k_min: float = 0.1
    k_max: float = 500.0
    mlp_ratio: float = 2.0
    frequency_resolution: int = 8
    estimator_width: int = 48

    def __post_init__(self) -> None:
        for name in ("widths", "depths", "mixers", "heat_ratios"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # files give lists
        scales = len(self.widths)
        if self.in_chans not in (1, 3):
            raise ValueError(f"in_chans is 1 (gray) or 3 (RGB), not {self.in_chans}.")
        if min(*self.widths, self.estimator_width, self.frequency_resolution) < 1 or not (
            scales and self.mlp_ratio > 0
        ):
            raise ValueError("widths, estimator_width, frequency_resolution and mlp_ratio are more than 0.")
        if len(self.depths) != 2 * scales - 1 or min(self.depths) < 1:
            raise ValueError(f"depths are {2 * scales - 1} numbers of 1 or more: down, bottom and up.")
        if len(self.mixers) != scales or len(self.heat_ratios) != scales:
            raise ValueError(f"mixers and heat_ratios have {scales} entries, one for each of widths.")
        if set(self.mixers) - {"heat", "identity"}:
            raise ValueError(f'mixers are "heat" or "identity", not {list(self.mixers)}.')

    def at_scale(self, scale: int) -> VHeatIRConfig:
        """Options of the groups on a grid of 1/2 (scale 0), 1/4, 1/8, ... of the image's."""
        return VHeatIRConfig(
            embed_dim=self.widths[scale],
            mixer=self.mixers[scale],
            heat_ratio=self.heat_ratios[scale],
            k_min=self.k_min,
            k_max=max(self.k_min, self.k_max / 4**scale),
            mlp_ratio=self.mlp_ratio,
            frequency_resolution=self.frequency_resolution,
        )


class VHeatPyramid(nn.Module):
    """Image restoration network: ``x + weight(levels) * reconstruct(shallow + pyramid(shallow))``.

    Residual groups on the way down, one at the bottom, and on the way up, where each group's input is the sum of what
    comes from below and of what left the group of its resolution on the way down. The grids are 1/2, 1/4, 1/8, ...
    of the image's.

    The network works with two level maps: noise, and JPEG compression. A level that is not given is
    estimated from the image. The correction is weighted by ``t / (t + 1)`` with t = σ + (100 - quality): where there is
    nothing to remove, the result is the input.

    Args:
        config: the options; None for the defaults.
        options: options by name, in the place of those in ``config``: fields of :class:`VHeatPyramidConfig`.

    Raises:
        ValueError: if an option is outside its range; the message names it.
        TypeError: if there is no such option.
    """

    def __init__(self, config: VHeatPyramidConfig | None = None, **options: Any) -> None:
        super().__init__()
        self.config = config = replace(config or VHeatPyramidConfig(), **options)
        widths, depths = config.widths, config.depths
        folded, scales = config.in_chans * _FOLD**2, range(len(widths))

        def group(scale: int, depth: int) -> ResidualGroup:
            return ResidualGroup(config.at_scale(scale), depth)

        self.multiple = _FOLD * 2 ** (len(widths) - 1)
        self.estimator = LevelEstimator(folded, config.estimator_width)
        self.conv_first = nn.Conv2d(folded + len(LEVELS), widths[0], 3, padding=1)
        self.down_groups = nn.ModuleList(group(scale, depths[scale]) for scale in scales[:-1])
        self.downs = nn.ModuleList(nn.Conv2d(widths[s], widths[s + 1], 2, stride=2) for s in scales[:-1])
        self.bottom = group(scales[-1], depths[scales[-1]])
        self.ups = nn.ModuleList(_Upsample(widths[s + 1], widths[s]) for s in reversed(scales[:-1]))
        self.up_groups = nn.ModuleList(group(scale, depths[-1 - scale]) for scale in reversed(scales[:-1]))
        self.norm = nn.LayerNorm(widths[0])
        self.conv_after_body = nn.Conv2d(widths[0], widths[0], 3, padding=1)
        self.conv_last = nn.Conv2d(widths[0], folded, 3, padding=1)
        for parameter in self.conv_last.parameters():  # the network starts as the identity
            nn.init.zeros_(parameter)

    @overload
    def forward(self, x: Tensor, condition: Tensor, *, strength: float | Tensor = ...) -> Tensor: ...

    @overload
    def forward(
        self, x: Tensor, condition: Tensor, *, strength: float | Tensor = ..., with_levels: Literal[True]
    ) -> tuple[Tensor, Tensor]: ...

    def forward(
        self, x: Tensor, condition: Tensor, *, strength: float | Tensor = 1.0, with_levels: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Restore a batch of images of one size.

        Args:
            x: degraded images, shape (B, in_chans, H, W), values in [0, 1], any H, W >= 1.
            condition: shape (B, 2): noise σ/255 and JPEG (100 - quality)/100; a negative value means that it is not
                known, and to be estimated.
            strength: factor of both levels, given or estimated: 0 changes nothing. A number, or (B, 1, 1, 1).
            with_levels: return the estimated levels too.

        Returns:
            Restored images, shape (B, in_chans, H, W), not clamped; with ``with_levels`` also what the estimator sees,
            whatever the condition says: (B, 2, H/8, W/8), sizes rounded up, float32 or wider, of 0 or more.
        """
        correction, estimate = self.correction(x, condition, strength)
        restored = x + crop_to(correction, x.shape[-2:])
        return (restored, estimate) if with_levels else restored

    def correction(self, x: Tensor, condition: Tensor, strength: float | Tensor) -> tuple[Tensor, Tensor]:
        """What is added to the image, (B, in_chans, H', W'), sizes rounded up; and the estimated levels."""
        folded = self._fold(x)
        estimate: Tensor = self.estimator(folded)
        levels = _level_maps(estimate, condition, folded.shape[-2:]) * strength
        residual = self.residual(folded, levels.to(folded.dtype))
        return F.pixel_shuffle(residual * correction_weight(levels).to(residual.dtype), _FOLD), estimate

    def estimate_levels(self, x: Tensor) -> Tensor:
        """What the estimator sees in images, as ``with_levels`` returns it: (B, in_chans, H, W) -> (B, 2, H/8, W/8)."""
        levels: Tensor = self.estimator(self._fold(x))
        return levels

    def residual(self, folded: Tensor, levels: Tensor) -> Tensor:
        """The correction before it is weighted: folded (B, C, H/2, W/2), levels (B, 2, H/2, W/2) -> shape of folded."""
        shallow = self.conv_first(torch.cat((folded, levels), dim=1))
        deep, skips = shallow, []
        for group, down in zip(self.down_groups, self.downs, strict=True):
            deep = group(deep, None)
            skips.append(deep)
            deep = down(deep)
        deep = self.bottom(deep, None)
        for up, group in zip(self.ups, self.up_groups, strict=True):
            deep = group(self.join(skips.pop(), up(deep)), None)
        deep = self.norm(deep.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        residual: Tensor = self.conv_last(self.join(shallow, self.conv_after_body(deep)))
        return residual

    def join(self, skip: Tensor, x: Tensor) -> Tensor:
        """Add what a skip brings to x, which nothing else needs: both (B, C, H, W) -> the same."""
        return skip + x

    def _fold(self, x: Tensor) -> Tensor:
        folded = F.pixel_unshuffle(pad_to_multiple(x, self.multiple), _FOLD)
        return folded.contiguous(memory_format=torch.channels_last)


def _level_maps(estimate: Tensor, condition: Tensor, size: Sequence[int]) -> Tensor:
    """What is known, and elsewhere what is estimated: (B, 2, *size)."""
    estimated = F.interpolate(estimate, size=(size[0], size[1]), mode="bilinear", align_corners=False)
    known = condition.to(estimated.dtype)[:, :, None, None]
    return torch.where(known < 0, estimated, known)


def correction_weight(levels: Tensor) -> Tensor:
    """``t / (t + 1)`` with t = σ + (100 - quality): levels (B, 2, H, W) -> (B, 1, H, W), 0 to 1."""
    total = levels[:, :1] * UNITS[0] + levels[:, 1:] * UNITS[1]
    return total / (total + 1)


class _Upsample(nn.Module):
    """Each position becomes 2 x 2: a linear map to four times the channels, unfolded."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.expand = nn.Conv2d(channels, 4 * out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) -> (B, out_channels, 2 H, 2 W)."""
        return F.pixel_shuffle(self.expand(x), 2).contiguous(memory_format=torch.channels_last)
