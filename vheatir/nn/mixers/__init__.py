"""Token mixers: heat conduction, window attention, HcNet's explicit step, and none, behind one interface."""

from __future__ import annotations

from vheatir.nn.mixers.attention import AttentionMixer
from vheatir.nn.mixers.factory import MIXERS, MixerName, MixerOptions, make_mixer
from vheatir.nn.mixers.hcnet import HcNetMixer, StepKind
from vheatir.nn.mixers.heat import HeatMixer
from vheatir.nn.mixers.identity import IdentityMixer
from vheatir.nn.mixers.interface import TokenMixer

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
