"""VHeatIR: SwinIR's shape with self-attention replaced by the Heat Conduction Operator, or by another token mixer.

Sources: vHeat, "Building Vision Models upon Heat Conduction", CVPR 2025 (operator, gated branch); SwinIR, ICCV
Workshops 2021 (shallow convolution, residual groups closed by a convolution, long skip, reconstruction); FFDNet,
IEEE TIP 2018 (pixel-unshuffle at the door, noise level as an input map).

What differs from the papers: one network serves every level through a condition input; the frequency embeddings
belong to frequencies rather than to an image size; ``downscale`` moves the network to a coarser grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vheatir.nn.mixers import MixerName, MixerOptions, StepKind, TokenMixer, make_mixer
from vheatir.nn.mlp import MlpKind, make_mlp
from vheatir.nn.ops import FrequencyValueEmbedding, Linear, add_into, extend_by_edges, in_chunks, take_inner

__all__ = ["Block", "GatedBranch", "ResidualGroup", "VHeatIR"]

Connection = Literal["1conv", "3conv", "identity"]


class GatedBranch(nn.Module):
    """First half of a block: depthwise 3x3, linear maps to u and z, the mixer on u, norm, gate SiLU(z), linear map.

    Source: the heat branch of vHeat (CVPR 2025). Only what stands between u and the norm differs between mixers.

    Args:
        dim: C.
        options: which mixer, and its options.
        shifted: the block is one of those whose windows are shifted.
        gate: multiply by SiLU(z); without it there is no z.
        output_norm: LayerNorm after the mixer, as published.

    Raises:
        ValueError: if an option of the mixer is outside its range.
    """

    def __init__(self, dim: int, *, options: MixerOptions, shifted: bool, gate: bool, output_norm: bool) -> None:
        super().__init__()
        self.local = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        # two products rather than one split in two: contiguous halves make the gate several times faster on a CPU
        self.value = Linear(dim, dim)
        self.gate = Linear(dim, dim) if gate else None
        self._mixer_name = options.mixer  # its weights are stored under its own name
        self.add_module(options.mixer, make_mixer(dim, options, shifted=shifted))
        self.norm = nn.LayerNorm(dim) if output_norm else nn.Identity()
        self.project = Linear(dim, dim)

    @property
    def mixer(self) -> TokenMixer:
        mixer: TokenMixer = getattr(self, self._mixer_name)
        return mixer

    def forward(self, x: Tensor, embedding: Tensor | None, level: Tensor | None) -> Tensor:
        """x (B, H, W, C), embedding (R + 1, R + 1, E) or None, level (B,) or None -> (B, H, W, C)."""
        return self.gated(*self.mix(x, embedding, level))

    def mix(self, x: Tensor, embedding: Tensor | None, level: Tensor | None) -> tuple[Tensor, Tensor]:
        """What looks beyond single positions: the filtered input and what the mixer makes of it.

        x (B, H, W, C), which outside of autograd may be overwritten; embedding (R + 1, R + 1, E) or None; level (B,) or
        None -> both (B, H, W, C), and nobody else's.
        """
        local = self.local(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return local, self.mixer(in_chunks(self.value, local, out=x), embedding, level)

    def gated(self, x: Tensor, mixed: Tensor) -> Tensor:
        """The rest, position by position: both results of :meth:`mix`, (..., C) -> (..., C)."""
        mixed = self.norm(mixed)
        output: Tensor = self.project(mixed if self.gate is None else mixed * F.silu(self.gate(x)))
        return output


class Block(nn.Module):
    """Pre-norm block: ``x + branch(norm(x))``, then ``x + mlp(norm(x))``.

    Args:
        dim: C.
        mlp_ratio: width of the MLP's hidden layer as a multiple of C.
        branch: with the token mixer.
        mlp: which MLP.
    """

    def __init__(self, dim: int, *, mlp_ratio: float, branch: GatedBranch, mlp: MlpKind) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.branch = branch
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = make_mlp(mlp, dim, round(dim * mlp_ratio))
        self._pointwise = mlp == "mlp"

    def forward(self, x: Tensor, embedding: Tensor | None, level: Tensor | None) -> Tensor:
        """x (B, H, W, C), embedding (R + 1, R + 1, E) or None, level (B,) or None -> (B, H, W, C)."""
        local, mixed = self.branch.mix(self.norm1(x), embedding, level)
        if self._pointwise:
            return in_chunks(lambda *maps: self._refine(self._add_branch(*maps)), x, local, mixed, out=mixed)
        return self._refine(in_chunks(self._add_branch, x, local, mixed, out=mixed))

    def _add_branch(self, x: Tensor, local: Tensor, mixed: Tensor) -> Tensor:
        return x + self.branch.gated(local, mixed)

    def _refine(self, x: Tensor) -> Tensor:
        output: Tensor = x + self.mlp(self.norm2(x))
        return output


class ResidualGroup(nn.Module):
    """Blocks that share their frequency embeddings, closed by a convolution, around a skip.

    Args:
        dim: C.
        blocks: the blocks, in order.
        frequency_resolution: R of the shared frequency grid; None where the mixers read none.
        resi_connection: the closing convolution, ``"1conv"``, ``"3conv"`` or ``"identity"``.
    """

    def __init__(
        self, dim: int, blocks: Sequence[Block], *, frequency_resolution: int | None, resi_connection: Connection
    ) -> None:
        super().__init__()
        resolution = frequency_resolution
        self.embedding = None if resolution is None else FrequencyValueEmbedding(dim, resolution)
        self.blocks = nn.ModuleList(blocks)
        self.conv = _connection(dim, resi_connection)

    def forward(self, x: Tensor, level: Tensor | None) -> Tensor:
        """x (B, C, H, W), level (B,) or None -> (B, C, H, W)."""
        embedding = None if self.embedding is None else self.embedding()
        y = x.permute(0, 2, 3, 1)
        for block in self.blocks:
            y = block(y, embedding, level)
        y = y.permute(0, 3, 1, 2)
        closed = self.conv(y)
        return x + y if closed is y else add_into(closed, x)


class VHeatIR(nn.Module):
    """Image restoration network: ``x + reconstruct(shallow + deep(shallow))``.

    Outside of autograd, maps within a block are used again for others; a hook that keeps one has to copy it. Outputs of
    blocks and groups stay as they are.

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
        ValueError: if an argument is outside its range; the message names it.
    """

    def __init__(
        self,
        *,
        in_chans: int = 1,
        embed_dim: int = 48,
        mixer: MixerName = "heat",
        mlp: MlpKind = "mlp",
        depths: Sequence[int] = (3, 3, 3),
        mlp_ratio: float = 2.0,
        img_range: float = 1.0,
        resi_connection: Connection = "1conv",
        downscale: int = 2,
        condition: bool = True,
        gate: bool = True,
        output_norm: bool = False,
        frequency_resolution: int = 8,
        heat_ratio: float = 1.0,
        spectrum_ratio: float = 1.0,
        k_min: float = 0.01,
        k_max: float = 200.0,
        residual_step: bool = True,
        content_conductivity: bool = False,
        level_conductivity: bool = False,
        window: int | None = None,
        num_heads: int | None = None,
        hcnet_step: StepKind = "input",
    ) -> None:
        super().__init__()
        if level_conductivity and not condition:
            raise ValueError("level_conductivity needs condition: true, the input that carries the level.")
        if in_chans not in (1, 3):
            raise ValueError(f"in_chans is 1 (gray) or 3 (RGB), not {in_chans}.")
        if downscale < 1 or embed_dim < 1 or frequency_resolution < 1 or not depths or min(depths) < 1:
            raise ValueError("downscale, embed_dim, frequency_resolution and every entry of depths are 1 or more.")
        if not (mlp_ratio > 0 and img_range > 0):
            raise ValueError(f"mlp_ratio and img_range are more than 0, not {mlp_ratio} and {img_range}.")
        if resi_connection == "3conv" and embed_dim < 4:
            raise ValueError(f'resi_connection "3conv" needs an embed_dim of 4 or more, not {embed_dim}.')
        self.hyper_parameters: dict[str, object] = {
            "in_chans": in_chans,
            "embed_dim": embed_dim,
            "mixer": mixer,
            "mlp": mlp,
            "depths": list(depths),
            "mlp_ratio": mlp_ratio,
            "img_range": img_range,
            "resi_connection": resi_connection,
            "downscale": downscale,
            "condition": condition,
            "gate": gate,
            "output_norm": output_norm,
            "frequency_resolution": frequency_resolution,
            "heat_ratio": heat_ratio,
            "spectrum_ratio": spectrum_ratio,
            "k_min": k_min,
            "k_max": k_max,
            "residual_step": residual_step,
            "content_conductivity": content_conductivity,
            "level_conductivity": level_conductivity,
            "window": window,
            "num_heads": num_heads,
            "hcnet_step": hcnet_step,
        }
        self.in_chans = in_chans
        self.depths = tuple(depths)
        self.downscale = downscale
        self.condition = condition
        self.img_range = img_range

        options = MixerOptions(
            mixer=mixer,
            heat_ratio=heat_ratio,
            spectrum_ratio=spectrum_ratio,
            k_min=k_min,
            k_max=k_max,
            residual_step=residual_step,
            content_conductivity=content_conductivity,
            level_conductivity=level_conductivity,
            window=window,
            num_heads=num_heads,
            hcnet_step=hcnet_step,
        )

        def block(index: int) -> Block:
            shifted = index % 2 == 1
            branch = GatedBranch(embed_dim, options=options, shifted=shifted, gate=gate, output_norm=output_norm)
            return Block(embed_dim, mlp_ratio=mlp_ratio, branch=branch, mlp=mlp)

        folded = in_chans * downscale**2
        self.conv_first = nn.Conv2d(folded + int(condition), embed_dim, 3, padding=1)
        self.groups = nn.ModuleList(
            ResidualGroup(
                embed_dim,
                [block(index) for index in range(depth)],
                frequency_resolution=frequency_resolution if options.reads_frequencies else None,
                resi_connection=resi_connection,
            )
            for depth in depths
        )
        self.norm = nn.LayerNorm(embed_dim)
        self.conv_after_body = _connection(embed_dim, resi_connection)
        self.conv_last = nn.Conv2d(embed_dim, folded, 3, padding=1)
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
        height, width = x.shape[-2:]
        padded = pad_to_multiple(x, self.downscale)
        folded = F.pixel_unshuffle(padded * self.img_range, self.downscale)
        residual = self._restore(folded.contiguous(memory_format=torch.channels_last), condition)
        restored = padded + F.pixel_shuffle(residual, self.downscale) / self.img_range
        if self.downscale == 1:
            return restored
        return take_inner(take_inner(restored, -2, 0, height), -1, 0, width)

    def features(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """The features that the last convolution makes an image of, for a head of another kind.

        Args:
            x: as in :meth:`forward`.
            condition: as in :meth:`forward`.

        Returns:
            Shape (B, embed_dim, H/downscale, W/downscale), sizes rounded up.
        """
        folded = F.pixel_unshuffle(pad_to_multiple(x, self.downscale) * self.img_range, self.downscale)
        return self._features(folded.contiguous(memory_format=torch.channels_last), condition)

    def _restore(self, folded: Tensor, condition: Tensor | None) -> Tensor:
        """Residual in the folded domain: (B, in_chans s^2, H/s, W/s) -> the same shape."""
        residual: Tensor = self.conv_last(self._features(folded, condition))
        return residual

    def _features(self, folded: Tensor, condition: Tensor | None) -> Tensor:
        """(B, in_chans s^2, H/s, W/s) -> (B, embed_dim, H/s, W/s)."""
        if self.condition:
            folded = torch.cat((folded, self._condition_map(folded, condition)), dim=1)
        deep = self.conv_first(folded)
        # outside of autograd it is computed again at the end: a hundredth of the time for a map less in memory
        shallow = deep if torch.is_grad_enabled() or deep.device.type != "cpu" else None
        for group in self.groups:
            deep = group(deep, condition)
        deep = self.norm(deep.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        deep = self.conv_after_body(deep)
        return add_into(deep, self.conv_first(folded) if shallow is None else shallow)

    def _condition_map(self, folded: Tensor, condition: Tensor | None) -> Tensor:
        if condition is None:
            raise ValueError("This network takes a level: pass condition, σ/255 or (100 - quality)/100, shape (B,).")
        batch, _, height, width = folded.shape
        level = condition.to(folded.dtype) * self.img_range
        return level[:, None, None, None].expand(batch, 1, height, width)


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Extend x (B, C, H, W) at the bottom and right by its own edge pixels to the next multiple."""
    if multiple == 1:
        return x
    height, width = ((size + multiple - 1) // multiple * multiple for size in x.shape[-2:])
    if not torch.compiler.is_compiling() and x.shape[-2:] == (height, width):
        return x  # a graph for every size always extends, by nothing where nothing is needed
    return extend_by_edges(extend_by_edges(x, -2, 0, height), -1, 0, width)


def _connection(dim: int, kind: Connection) -> nn.Module:
    if kind == "1conv":
        return nn.Conv2d(dim, dim, 3, padding=1)
    if kind == "3conv":
        return nn.Sequential(
            nn.Conv2d(dim, dim // 4, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(dim // 4, dim // 4, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(dim // 4, dim, 3, padding=1),
        )
    if kind == "identity":
        return nn.Identity()
    raise ValueError(f'resi_connection is "1conv", "3conv" or "identity", not {kind!r}.')
