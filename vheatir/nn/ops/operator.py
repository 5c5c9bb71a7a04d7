"""The Heat Conduction Operator as a module: learned conductivity, and the ways in which it answers to its input."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import torch
from torch import Tensor, nn

from vheatir.nn.ops.blocked import blocked_conduction
from vheatir.nn.ops.cache import TensorCache, fingerprint
from vheatir.nn.ops.conductivity import Conductivity, interpolate_spectrum
from vheatir.nn.ops.heat import heat_conduction, heat_decay
from vheatir.nn.ops.inplace import is_plain_inference
from vheatir.nn.ops.precision import as_autocast, autocast_off
from vheatir.nn.ops.spectrum import LowSpectrum
from vheatir.nn.ops.windows import merge_windows, split_windows

__all__ = ["HeatConduction2d"]

#: noise level (50 of 255) at which the level-dependent diffusion time is 1
REFERENCE_LEVEL = 50 / 255

_DECAYS = TensorCache(max_bytes=256 * 2**20)


class HeatConduction2d(nn.Module):
    """Heat conduction ``IDCT2(DCT2(u) * exp(-k (w_n^2 + w_m^2)))`` with learned k, per channel and frequency.

    Source of the operator: vHeat (CVPR 2025). The options make the conductivity answer to its input:

    * ``residual``: the step ``u + g (heat(u) - u)`` with a learned g per channel, the form of a heat conduction
      layer in HcNet (arXiv 2408.05901, equation 4), here around the closed-form solution.
    * ``content``: k is multiplied by ``2 sigmoid(Linear(mean(u)))`` per channel, HcNet's input-dependent
      coefficient (its equation 6). The mean is taken over the image, or over each window where there are windows.
    * ``level``: k is multiplied by ``a + b (level / reference)^2``, a and b >= 0 learned per channel. This
      project's own: averaging n pixels divides a noise variance by n, and a diffusion time k averages about
      ``4 pi * 2 k`` of them, so the time that a noise level asks for grows with its square.
    * ``window``: heat conducts within squares of that side (shifted by half where ``shifted``) rather than over the
      whole map, the partition of Swin (ICCV 2021); overhanging windows are filled with the edge pixels.
    * ``spectrum_ratio``: only that share of the frequencies, the lowest, is transformed along each axis; the others
      are taken as fully decayed. See :mod:`vheatir.nn.ops.spectrum` for the error. This project's own.

    Args:
        channels: C.
        embedding_channels: length of the frequency value embeddings given to ``forward``.
        k_min: conductivity at which the first channel starts, in square pixels.
        k_max: conductivity at which the last channel starts; the others lie between, evenly in log k.
        residual: see above; g starts at 0.1, so that the operator starts near identity whatever k is.
        content: see above.
        level: see above.
        window: side of a window in pixels, or None for the whole map.
        shifted: start the windows half a window outside the map.
        spectrum_ratio: see above; 1 for all frequencies.

    Raises:
        ValueError: if not 0 < k_min <= k_max, if ``window`` is smaller than 1, or spectrum_ratio outside (0, 1].
    """

    def __init__(
        self,
        channels: int,
        *,
        embedding_channels: int,
        k_min: float = 0.01,
        k_max: float = 1.0,
        residual: bool = False,
        content: bool = False,
        level: bool = False,
        window: int | None = None,
        shifted: bool = False,
        spectrum_ratio: float = 1.0,
    ) -> None:
        super().__init__()
        if window is not None and window < 1:
            raise ValueError(f"A window needs a side of 1 pixel or more, not {window}.")
        if not 0 < spectrum_ratio <= 1:
            raise ValueError(
                f"spectrum_ratio is a share of the frequencies, more than 0 and at most 1, not {spectrum_ratio}."
            )
        self.spectrum_ratio = spectrum_ratio
        self.window = window
        self.shift = window // 2 if window is not None and shifted else 0
        self.conductivity = Conductivity(embedding_channels, channels, k_min=k_min, k_max=k_max)
        self.gain = nn.Parameter(torch.full((channels,), 0.1)) if residual else None
        self.content = _ContentScale(channels) if content else None
        self.level = _LevelScale(channels) if level else None

    def forward(self, u: Tensor, embedding: Tensor, level: Tensor | None = None) -> Tensor:
        """Conduct: :meth:`conduct`, which leaves u as it is."""
        return self.conduct(u, embedding, level)

    def conduct(self, u: Tensor, embedding: Tensor, level: Tensor | None = None, *, overwrite: bool = False) -> Tensor:
        """Conduct.

        Args:
            u: temperatures, shape (B, H, W, C), any floating dtype and any H, W >= 1.
            embedding: frequency value embeddings, shape (R + 1, R + 1, embedding_channels).
            level: noise level σ/255 or JPEG level (100 - quality)/100, shape (B,); needed by ``level=True`` alone.
            overwrite: u is no longer needed: outside of autograd the result may be written into it, and is then u.

        Returns:
            Temperatures after conduction, shape (B, H, W, C); under autocast in autocast's dtype, else in u's.

        Raises:
            ValueError: if the operator was made with ``level=True`` and no level is given.
        """
        u = as_autocast(u)
        with autocast_off(u.device):
            if self.window is None:
                return self._conduct(u, embedding, level, out=u if overwrite else None)
            _, height, width, _ = u.shape
            windows = split_windows(u, self.window, self.shift)
            return merge_windows(self._conduct(windows, embedding, level, out=None), self.shift, height, width)

    def _conduct(self, u: Tensor, embedding: Tensor, level: Tensor | None, *, out: Tensor | None) -> Tensor:
        nodes = self.conductivity_nodes(u, embedding, level)
        if self.spectrum_ratio < 1:
            return self._step(u, self._conduct_low(u, nodes))
        blocked = blocked_conduction(u)
        if blocked is not None:
            return blocked.conduct(u, nodes, self.gain, out=out)
        return self._step(u, heat_conduction(u, self._decay(nodes, u.shape[1], u.shape[2], u.dtype)))

    def _step(self, u: Tensor, conducted: Tensor) -> Tensor:
        """``u + g (heat(u) - u)``, or heat(u) without the option."""
        if self.gain is None:
            return conducted
        gain = self.gain.to(u.dtype)
        if is_plain_inference():
            return torch.lerp(u, conducted, gain, out=conducted)  # one map less
        return torch.lerp(u, conducted, gain)

    def _conduct_low(self, u: Tensor, nodes: Tensor) -> Tensor:
        """The lowest frequencies of u after conduction, and nothing else."""
        low = LowSpectrum.of(u.shape[1], u.shape[2], self.spectrum_ratio)
        if u.dtype == torch.float64:
            nodes = nodes.double()
        return low.conduct(u, _kept(low, nodes, lambda: low.decay(nodes)))

    def conductivity_nodes(self, u: Tensor, embedding: Tensor, level: Tensor | None) -> Tensor:
        """k at the nodes of the frequency grid, in square pixels, scaled by content and level.

        Args:
            u: temperatures (B, H, W, C), or with windows the windows that :func:`split_windows` cuts from them.
            embedding: as for :meth:`conduct`.
            level: as for :meth:`conduct`, one for each image.

        Returns:
            Shape (S, R + 1, R + 1, C): S = 1, or B where k answers to content or level.

        Raises:
            ValueError: as for :meth:`conduct`.
        """
        nodes: Tensor = self.conductivity(embedding)[None]
        if self.content is not None:
            nodes = nodes * self.content(u)[:, None, None, :]
        if self.level is not None:
            if level is None:
                raise ValueError("This operator scales its conductivity by the level: pass level, shape (B,).")
            scale = self.level(level).repeat_interleave(u.shape[0] // level.shape[0], dim=0)
            nodes = nodes * scale[:, None, None, :]
        return nodes

    def _decay(self, nodes: Tensor, height: int, width: int, dtype: torch.dtype) -> Tensor:
        """exp(-k w^2) at the frequencies of an H x W map, in float32 or wider, then rounded to ``dtype``."""
        if dtype == torch.float64:
            nodes = nodes.double()

        def build() -> Tensor:
            decay = heat_decay(interpolate_spectrum(nodes, height, width))
            return decay if dtype == torch.float16 else decay.to(dtype)

        return _kept((height, width, dtype), nodes, build)


class _ContentScale(nn.Module):
    """``2 sigmoid(Linear(mean(u)))`` per channel, 1 at the start."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, channels)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, u: Tensor) -> Tensor:
        weight, bias = self.linear.weight, self.linear.bias
        mean = u.to(weight.dtype).mean(dim=(1, 2))
        return 2 * torch.sigmoid(nn.functional.linear(mean, weight, bias))


class _LevelScale(nn.Module):
    """``softplus(a) + softplus(b) (level / reference)^2`` per channel; 1/2 and 1/2 at the start."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        start = torch.log(torch.expm1(torch.tensor(0.5)))
        self.base = nn.Parameter(start.repeat(channels))
        self.slope = nn.Parameter(start.repeat(channels))

    def forward(self, level: Tensor) -> Tensor:
        squared = (level.to(self.slope.dtype) / REFERENCE_LEVEL).square()
        return nn.functional.softplus(self.base) + nn.functional.softplus(self.slope) * squared[:, None]


def _kept(key: Hashable, nodes: Tensor, build: Callable[[], Tensor]) -> Tensor:
    """The decay of these conductivities, built, or found from an earlier call in inference."""
    if not is_plain_inference() or nodes.shape[0] > 1 or nodes.is_meta:
        return build()
    return _DECAYS.get((key, nodes.dtype, nodes.device, nodes.shape, fingerprint(nodes)), build)
