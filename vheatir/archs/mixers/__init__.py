"""Token mixers: heat conduction, window attention, HcNet's explicit step, and none, behind one interface."""

from __future__ import annotations

from vheatir.archs.mixers.attention import AttentionMixer
from vheatir.archs.mixers.factory import MIXERS, MixerName, MixerOptions, make_mixer
from vheatir.archs.mixers.hcnet import HcNetMixer, StepKind
from vheatir.archs.mixers.heat import HeatMixer
from vheatir.archs.mixers.identity import IdentityMixer
from vheatir.archs.mixers.interface import TokenMixer

__all__ = [
    "MIXERS",
    "AttentionMixer",
    "HcNetMixer",
    "HeatMixer",
    "IdentityMixer",
    "MixerName",
    "MixerOptions",
    "StepKind",
    "TokenMixer",
    "make_mixer",
]
