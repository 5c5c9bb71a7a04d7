"""From the options of a network to the mixer of one block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

from vheatir.nn.mixers.attention import AttentionMixer, default_heads
from vheatir.nn.mixers.hcnet import HcNetMixer, StepKind
from vheatir.nn.mixers.heat import HeatMixer
from vheatir.nn.mixers.identity import IdentityMixer
from vheatir.nn.mixers.interface import TokenMixer

__all__ = ["MIXERS", "MixerName", "MixerOptions", "make_mixer"]

MixerName = Literal["heat", "attention", "hcnet", "identity"]

#: every mixer by its name
MIXERS: Final[Mapping[str, type[TokenMixer]]] = {
    kind.name: kind for kind in (HeatMixer, AttentionMixer, HcNetMixer, IdentityMixer)
}

#: side of SwinIR's windows in denoising
_ATTENTION_WINDOW = 8


@dataclass(frozen=True, kw_only=True)
class MixerOptions:
    """Which mixer, and every mixer's options; :class:`vheatir.nn.VHeatIR` explains them and has the defaults."""

    mixer: MixerName
    heat_ratio: float
    spectrum_ratio: float
    k_min: float
    k_max: float
    residual_step: bool
    content_conductivity: bool
    level_conductivity: bool
    window: int | None
    num_heads: int | None
    hcnet_step: StepKind

    def __post_init__(self) -> None:
        if self.mixer not in get_args(MixerName):
            raise ValueError(f"mixer is {', '.join(get_args(MixerName))}, not {self.mixer!r}.")

    @property
    def reads_frequencies(self) -> bool:
        """Whether the mixer takes frequency value embeddings."""
        return MIXERS[self.mixer].reads_frequencies


def make_mixer(dim: int, options: MixerOptions, *, shifted: bool) -> TokenMixer:
    """Make the mixer of one block.

    Args:
        dim: C, of the features and of the frequency value embeddings.
        options: which mixer, and its options.
        shifted: the block is one of those whose windows are shifted.

    Raises:
        ValueError: if an option of the chosen mixer is outside its range.
    """
    if options.mixer == "attention":
        window = _ATTENTION_WINDOW if options.window is None else options.window
        heads = default_heads(dim) if options.num_heads is None else options.num_heads
        return AttentionMixer(dim, window=window, heads=heads, shifted=shifted)
    if options.mixer == "hcnet":
        return HcNetMixer(dim, step=options.hcnet_step)
    if options.mixer == "identity":
        return IdentityMixer()
    return HeatMixer(
        dim,
        embedding_channels=dim,
        heat_ratio=options.heat_ratio,
        spectrum_ratio=options.spectrum_ratio,
        k_min=options.k_min,
        k_max=options.k_max,
        residual=options.residual_step,
        content=options.content_conductivity,
        level=options.level_conductivity,
        window=options.window,
        shifted=shifted,
    )
