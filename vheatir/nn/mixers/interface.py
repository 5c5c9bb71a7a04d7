"""What a token mixer is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

__all__ = ["TokenMixer"]


class TokenMixer(nn.Module, ABC):
    """The part of a block in which positions exchange information; everything around it is the same for all mixers.

    Attributes:
        name: under which it is chosen, and under which its weights are stored.
        reads_frequencies: it takes the frequency value embeddings of its group.
    """

    name: ClassVar[str]
    reads_frequencies: ClassVar[bool] = False

    @abstractmethod
    def forward(self, u: Tensor, embedding: Tensor | None, level: Tensor | None) -> Tensor:
        """Mix.

        Args:
            u: features, shape (B, H, W, C), any H, W >= 1. They are the mixer's: outside of autograd it may overwrite
                them.
            embedding: frequency value embeddings (R + 1, R + 1, E), if ``reads_frequencies``; else None.
            level: noise level σ/255 or JPEG level (100 - quality)/100, shape (B,), or None.

        Returns:
            Features, shape (B, H, W, C); under autocast in autocast's dtype, else in u's.
        """
