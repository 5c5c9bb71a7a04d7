"""VHeatIR: SwinIR's shape with self-attention replaced by the Heat Conduction Operator, or by another token mixer.

    network:  x + unfold(conv(shallow + conv(norm(groups(shallow))))),   shallow = conv([fold(x), level])
    group:    x + conv(blocks(x))
    block:    x + branch(norm(x)),  then  x + mlp(norm(x))
    branch:   linear(norm(mixer(linear(z))) * SiLU(linear(z))),          z = depthwise conv(x)

Sources: vHeat, "Building Vision Models upon Heat Conduction", CVPR 2025 (operator, gated branch); SwinIR, ICCV
Workshops 2021 (shallow convolution, residual groups closed by a convolution, long skip, reconstruction); FFDNet,
IEEE TIP 2018 (pixel-unshuffle at the door, noise level as an input map).

What differs from the papers: one network serves every level through a condition input; the frequency embeddings
belong to frequencies rather than to an image size; ``downscale`` moves the network to a coarser grid.

This is the network as it is trained and exported; what makes it fast on a CPU is in :mod:`vheatir.nn.cpu`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vheatir.nn.heat import FrequencyValueEmbedding
from vheatir.nn.mixers import MIXERS, HcNetStep, MixerName

__all__ = [
    "CONFIGS",
    "Block",
    "GatedBranch",
    "ResidualGroup",
    "VHeatIR",
    "VHeatIRConfig",
    "configuration",
    "make_mlp",
    "network_arguments",
]

MlpKind = Literal["mlp", "refinement"]
Connection = Literal["1conv", "3conv", "identity"]


@dataclass(frozen=True, kw_only=True)
class VHeatIRConfig:
    """The options of a network.

    Args:
        in_chans: channels of the image, 1 (gray) or 3 (RGB).
        embed_dim: C, width of the network.
        mixer: what exchanges information between positions in every block: ``"heat"``, ``"attention"`` (shifted
            windows), ``"hcnet"`` (an explicit step between neighbours) or ``"identity"``; see
            :mod:`vheatir.nn.mixers`. Options of the other mixers are not used.
        mlp: second half of a block: ``"mlp"``, or ``"refinement"``, which has a depthwise convolution too.
        depths: number of blocks in each residual group.
        mlp_ratio: width of the MLPs' hidden layer as a multiple of C.
        img_range: factor by which the image in [0, 1] is multiplied on entry and divided on exit.
        resi_connection: convolution that closes a group: ``"1conv"``, ``"3conv"`` (C/4 bottleneck) or ``"identity"``.
        downscale: side of the pixel blocks folded into channels on entry (pixel-unshuffle) and unfolded on exit.
        condition: take the level (σ/255, or (100 - quality)/100) as one more input map.
        gate: gate SiLU(z) around the mixer, as published.
        output_norm: LayerNorm after the mixer, as published.
        frequency_resolution: heat: R, intervals of the frequency grid.
        heat_ratio: heat: share of the channels that conduct.
        spectrum_ratio: heat: share of the frequencies that are transformed, the lowest; the others are dropped.
        k_min: heat: smallest starting conductivity, in square pixels of the feature map.
        k_max: heat: largest starting conductivity; the channels lie between, evenly in log k.
        residual_step: heat: ``u + g (heat(u) - u)`` with a learned g per channel.
        content_conductivity: heat: k follows the pooled content.
        level_conductivity: heat: k follows the level; needs ``condition``.
        window: heat and attention: side of the windows, shifted by half in every second block; None for the whole map
            with heat, as published, and for SwinIR's 8 with attention.
        num_heads: attention: heads; None for 6 where they divide embed_dim, else the largest divisor up to 8.
        hcnet_step: hcnet: k is ``"fixed"``, ``"learned"`` per channel, or follows the pooled ``"input"``.

    Raises:
        ValueError: if an option is outside its range; the message names it. Those of the mixer are checked by it.
    """

    in_chans: int = 1
    embed_dim: int = 48
    mixer: MixerName = "heat"
    mlp: MlpKind = "mlp"
    depths: Sequence[int] = (3, 3, 3)
    mlp_ratio: float = 2.0
    img_range: float = 1.0
    resi_connection: Connection = "1conv"
    downscale: int = 2
    condition: bool = True
    gate: bool = True
    output_norm: bool = False
    frequency_resolution: int = 8
    heat_ratio: float = 1.0
    spectrum_ratio: float = 1.0
    k_min: float = 0.01
    k_max: float = 200.0
    residual_step: bool = True
    content_conductivity: bool = False
    level_conductivity: bool = False
    window: int | None = None
    num_heads: int | None = None
    hcnet_step: HcNetStep = "input"

    def __post_init__(self) -> None:
        object.__setattr__(self, "depths", tuple(self.depths))  # files give a list
        for name, kinds in _KINDS.items():
            if getattr(self, name) not in kinds:
                raise ValueError(f"{name} is {', '.join(kinds)}, not {getattr(self, name)!r}.")
        if self.level_conductivity and not self.condition:
            raise ValueError("level_conductivity needs condition: true, the input that carries the level.")
        if self.in_chans not in (1, 3):
            raise ValueError(f"in_chans is 1 (gray) or 3 (RGB), not {self.in_chans}.")
        if min(self.downscale, self.embed_dim, self.frequency_resolution, *self.depths) < 1 or not self.depths:
            raise ValueError("downscale, embed_dim, frequency_resolution and every entry of depths are 1 or more.")
        if not (self.mlp_ratio > 0 and self.img_range > 0):
            raise ValueError(f"mlp_ratio and img_range are more than 0, not {self.mlp_ratio} and {self.img_range}.")
        if self.resi_connection == "3conv" and self.embed_dim < 4:
            raise ValueError(f'resi_connection "3conv" needs an embed_dim of 4 or more, not {self.embed_dim}.')


_KINDS: Final[Mapping[str, Sequence[str]]] = {
    "mixer": get_args(MixerName),
    "mlp": get_args(MlpKind),
    "resi_connection": get_args(Connection),
    "hcnet_step": get_args(HcNetStep),
}

#: the named configurations
CONFIGS: Final[Mapping[str, VHeatIRConfig]] = {
    # the published system: SwinIR's size and vHeat's operator, at full resolution, one level a set of weights;
    # for JPEG it takes img_range 255 beside, as SwinIR does (options/train/paper_jpeg_*.yml)
    "paper": VHeatIRConfig(
        embed_dim=180,
        depths=(6, 6, 6, 6, 6, 6),
        downscale=1,
        condition=False,
        output_norm=True,
        residual_step=False,
        k_max=1.0,
    ),
    # the size of SwinIR's lightweight model, at full resolution
    "light": VHeatIRConfig(embed_dim=60, depths=(6, 6, 6, 6), downscale=1),
    # what ships: a quarter of the positions, and a quarter of the channels conduct
    "fast": VHeatIRConfig(embed_dim=64, depths=(4, 4, 4), downscale=2, heat_ratio=0.25, k_min=0.5, k_max=500.0),
}


def configuration(name: str, in_chans: int) -> VHeatIRConfig:
    """Return a named configuration for 1 (gray) or 3 (RGB) channels.

    Raises:
        ValueError: if there is no configuration of that name.
    """
    if name not in CONFIGS:
        raise ValueError(f"The configurations are {', '.join(CONFIGS)}; there is no {name!r}.")
    return replace(CONFIGS[name], in_chans=in_chans)


def network_arguments(section: Mapping[str, Any]) -> dict[str, Any]:
    """Return the network's options in a section ``network_g`` of an option file: everything but its ``type``."""
    return {key: value for key, value in section.items() if key != "type"}


class GatedBranch(nn.Module):
    """First half of a block: ``linear(norm(mixer(linear(z))) * SiLU(linear(z)))``, z = depthwise conv(x).

    Source: the heat branch of vHeat (CVPR 2025).

    Args:
        config: options of the network.
        shifted: the block is one of those whose windows are shifted.
    """

    def __init__(self, config: VHeatIRConfig, *, shifted: bool) -> None:
        super().__init__()
        dim = config.embed_dim
        self.local = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        # two products rather than one split in two: contiguous halves make the gate several times faster on a CPU
        self.value = nn.Linear(dim, dim)
        self.gate = nn.Linear(dim, dim) if config.gate else None
        self.mixer = MIXERS[config.mixer](config, shifted=shifted)
        self.norm = nn.LayerNorm(dim) if config.output_norm else nn.Identity()
        self.project = nn.Linear(dim, dim)

    def forward(self, x: Tensor, embedding: Tensor | None, level: Tensor | None) -> Tensor:
        """x (B, H, W, C), embedding (R + 1, R + 1, C) or None, level (B,) or None -> (B, H, W, C)."""
        z = self.local(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        y = self.norm(self.mixer(self.value(z), embedding, level))
        if self.gate is not None:
            y = y * F.silu(self.gate(z))
        output: Tensor = self.project(y)
        return output


class Block(nn.Module):
    """Pre-norm block: ``x + branch(norm(x))``, then ``x + mlp(norm(x))``; arguments as of :class:`GatedBranch`."""

    def __init__(self, config: VHeatIRConfig, *, shifted: bool = False) -> None:
        super().__init__()
        dim = config.embed_dim
        self.norm1 = nn.LayerNorm(dim)
        self.branch = GatedBranch(config, shifted=shifted)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = make_mlp(config.mlp, dim, round(dim * config.mlp_ratio))

    def forward(self, x: Tensor, embedding: Tensor | None, level: Tensor | None) -> Tensor:
        """x (B, H, W, C), embedding (R + 1, R + 1, C) or None, level (B,) or None -> (B, H, W, C)."""
        x = x + self.branch(self.norm1(x), embedding, level)
        output: Tensor = x + self.mlp(self.norm2(x))
        return output


class ResidualGroup(nn.Module):
    """``x + conv(blocks(x))``; the blocks share their frequency embeddings.

    Args:
        config: options of the network.
        depth: number of blocks, every second of which is shifted.
    """

    def __init__(self, config: VHeatIRConfig, depth: int) -> None:
        super().__init__()
        reads = MIXERS[config.mixer].reads_frequencies
        blocks = [Block(config, shifted=index % 2 == 1) for index in range(depth)]
        self.embedding = FrequencyValueEmbedding(config.embed_dim, config.frequency_resolution) if reads else None
        self.blocks = nn.ModuleList(blocks)
        self.conv = _connection(config)

    def forward(self, x: Tensor, level: Tensor | None) -> Tensor:
        """x (B, C, H, W), level (B,) or None -> (B, C, H, W)."""
        embedding = None if self.embedding is None else self.embedding()
        y = x.permute(0, 2, 3, 1)
        for block in self.blocks:
            y = block(y, embedding, level)
        output: Tensor = x + self.conv(y.permute(0, 3, 1, 2))
        return output


class VHeatIR(nn.Module):
    """Image restoration network: ``x + reconstruct(shallow + deep(shallow))``.

    Args:
        config: the options; None for the defaults.
        options: options by name, in the place of those in ``config``: fields of :class:`VHeatIRConfig`.

    Raises:
        ValueError: if an option is outside its range; the message names it.
        TypeError: if there is no such option.
    """

    def __init__(self, config: VHeatIRConfig | None = None, **options: Any) -> None:
        super().__init__()
        self.config = config = replace(config or VHeatIRConfig(), **options)
        dim, folded = config.embed_dim, config.in_chans * config.downscale**2
        self.conv_first = nn.Conv2d(folded + int(config.condition), dim, 3, padding=1)
        self.groups = nn.ModuleList(ResidualGroup(config, depth) for depth in config.depths)
        self.norm = nn.LayerNorm(dim)
        self.conv_after_body = _connection(config)
        self.conv_last = nn.Conv2d(dim, folded, 3, padding=1)
        for parameter in self.conv_last.parameters():  # the network starts as the identity
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Restore a batch of images of one size.

        Args:
            x: degraded images, shape (B, in_chans, H, W), values in [0, 1], any H, W >= 1.
            condition: σ/255 for denoising, (100 - quality)/100 for JPEG: shape (B,); required if the network was made
                with ``condition=True``, unused otherwise.

        Returns:
            Restored images, shape (B, in_chans, H, W), not clamped.

        Raises:
            ValueError: if the network takes a condition and none is given.
        """
        return x + crop_to(self.correction(x, condition), x.shape[-2:])

    def correction(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """What is added to the image, (B, in_chans, H', W'): H and W rounded up to multiples of ``downscale``."""
        residual = self.conv_last(self.features(x, condition))
        return F.pixel_shuffle(residual, self.config.downscale) / self.config.img_range

    def features(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """The features that the last convolution makes an image of, for a head of another kind.

        Args:
            x: as in :meth:`forward`.
            condition: as in :meth:`forward`.

        Returns:
            Shape (B, embed_dim, H/downscale, W/downscale), sizes rounded up.
        """
        shallow = deep = self.conv_first(self.fold(x, condition))
        for group in self.groups:
            deep = group(deep, condition)
        deep = self.norm(deep.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        features: Tensor = shallow + self.conv_after_body(deep)
        return features

    def fold(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """What the network sees: blocks of pixels as channels, and the level as one more, channels-last."""
        config = self.config
        folded = F.pixel_unshuffle(pad_to_multiple(x, config.downscale) * config.img_range, config.downscale)
        if config.condition:
            if condition is None:
                raise ValueError(
                    "This network takes a level: pass condition, σ/255 or (100 - quality)/100, shape (B,)."
                )
            level = condition.to(folded.dtype) * config.img_range
            folded = torch.cat((folded, level[:, None, None, None].expand_as(folded[:, :1])), dim=1)
        return folded.contiguous(memory_format=torch.channels_last)


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Extend x (B, C, H, W) at the bottom and right by its own edge pixels to the next multiple."""
    down, right = ((size + multiple - 1) // multiple * multiple - size for size in x.shape[-2:])
    return F.pad(x, (0, right, 0, down), mode="replicate") if multiple > 1 else x


def crop_to(x: Tensor, size: Sequence[int]) -> Tensor:
    """The upper left (H, W) = ``size`` of x (B, C, H', W'), by indices: a slice binds an exported graph to its size."""
    rows, columns = (torch.arange(length, device=x.device) for length in size)
    return x.index_select(-2, rows).index_select(-1, columns)


def make_mlp(kind: MlpKind, dim: int, hidden: int) -> nn.Sequential:
    """Make the second half of a block, which the block adds to its input.

    * ``"mlp"``: Linear, GELU, Linear.
    * ``"refinement"``: Linear, GELU, depthwise 3 x 3 convolution, Linear: the refinement approximation layer of HcNet
      (arXiv 2408.05901, equation 14), whose residual is the block's; the convolution without bias as in its code.
    """
    between = [] if kind == "mlp" else [_DepthwiseConv(hidden)]
    return nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), *between, nn.Linear(hidden, dim))


class _DepthwiseConv(nn.Conv2d):
    """Depthwise 3 x 3 convolution of channels-last maps (B, H, W, C)."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim, dim, 3, padding=1, groups=dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def _connection(config: VHeatIRConfig) -> nn.Module:
    dim = config.embed_dim
    if config.resi_connection == "identity":
        return nn.Identity()
    if config.resi_connection == "1conv":
        return nn.Conv2d(dim, dim, 3, padding=1)
    return nn.Sequential(
        nn.Conv2d(dim, dim // 4, 3, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(dim // 4, dim // 4, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(dim // 4, dim, 3, padding=1),
    )
