"""The Heat Conduction Operator, equation by equation.

A temperature u on a rectangle of H x W pixels whose edges let no heat pass is a sum of cosines, and each cosine decays
by itself. With the frequencies ``w_n = pi n / H`` and ``w_m = pi m / W``, and k the conductivity times the time, in
square pixels, the temperature after conduction is

    heat(u) = IDCT2( DCT2(u) * exp(-k (w_n^2 + w_m^2)) )       :func:`heat_conduction`, :func:`heat_decay`
    k       = softplus(Linear(FVE))                            :class:`Conductivity`, :class:`FrequencyValueEmbedding`

A constant k blurs by a Gaussian of standard deviation ``sqrt(2 k)`` pixels. Maps are channels-last, (B, H, W, C): each
transform is then one wide product on contiguous memory.

Source: vHeat, "Building Vision Models upon Heat Conduction", CVPR 2025, equations 4 to 8 and section 3.3. What differs
from its public code: any H and W; the decay is exp(-k w^2) in float32 or wider; the embeddings lie on a small grid of
fixed frequencies, so one set of weights serves every image size; softplus instead of ReLU, so that no k dies at zero.
The options of :class:`HeatConduction2d` are HcNet's, Swin's and this project's.
"""

from __future__ import annotations

import math
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vheatir.nn.precision import as_autocast, autocast_off
from vheatir.nn.windows import merge_windows, split_windows

__all__ = [
    "Conductivity",
    "FrequencyValueEmbedding",
    "HeatConduction2d",
    "along_height",
    "along_width",
    "dct2",
    "dct_basis",
    "hat_weights",
    "heat_conduction",
    "heat_decay",
    "idct2",
    "interpolate_spectrum",
    "kept_frequencies",
    "log_spaced_conductivity",
    "squared_frequencies",
]

#: noise level (50 of 255) at which the level-dependent diffusion time is 1
REFERENCE_LEVEL: Final = 50 / 255


# The cosine transform


def dct_basis(size: int, count: int | None = None, *, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Orthonormal DCT-II matrix D, so that ``D @ x`` are the cosine coefficients of a signal x.

    ``D[n, i] = sqrt((2 - [n = 0]) / N) cos(pi n (2 i + 1) / (2 N))``; D is orthogonal, hence ``D.T`` inverts.

    Args:
        size: N, the length of the signal, 1 or more.
        count: how many of the lowest frequencies; None for all N.
        dtype: floating type of the result; the cosines are evaluated in float64 whatever it is.
        device: where the matrix lives.

    Returns:
        Tensor of shape (count, N): row n is the cosine of frequency ``pi n / N`` radians a sample.
    """
    place = torch.device("cpu") if device.type == "mps" else device  # which has no float64
    n = torch.arange(size if count is None else count, dtype=torch.float64, device=place)[:, None]
    i = torch.arange(size, dtype=torch.float64, device=place)
    half_samples = torch.remainder(n * (2 * i + 1), 4 * size)  # less than a period: exact for long signals too
    scale = torch.sqrt((2 - (n == 0).double()) / size)  # a tensor, not a number: an exported graph keeps the size open
    return (torch.cos(half_samples * math.pi / (2 * size)) * scale).to(dtype).to(device)


def dct2(x: Tensor) -> Tensor:
    """Orthonormal DCT-II over the two spatial axes (``scipy.fft.dctn(x, axes=(1, 2), norm="ortho")``).

    Args:
        x: real map of shape (B, H, W, C), any H and W from 1 up.

    Returns:
        Coefficients of shape (B, H, W, C); entry (n, m) belongs to the frequencies (pi n / H, pi m / W).
    """
    rows, columns = (dct_basis(size, dtype=x.dtype, device=x.device) for size in x.shape[1:3])
    return along_width(columns, along_height(rows, x))


def idct2(coefficients: Tensor) -> Tensor:
    """Inverse of :func:`dct2` (the orthonormal DCT-III), shape (B, H, W, C) to the same."""
    rows, columns = (
        dct_basis(size, dtype=coefficients.dtype, device=coefficients.device) for size in coefficients.shape[1:3]
    )
    return along_height(rows.mT, along_width(columns.mT, coefficients))


def along_height(matrix: Tensor, x: Tensor) -> Tensor:
    """Apply ``matrix`` (K, H) along the height of x (B, H, W, C) -> (B, K, W, C)."""
    batch, height, width, channels = x.shape
    flat = x.reshape(batch, height, width * channels)
    return torch.bmm(matrix.expand(batch, -1, -1), flat).view(batch, matrix.shape[0], width, channels)


def along_width(matrix: Tensor, x: Tensor) -> Tensor:
    """Apply ``matrix`` (K, W) along the width of x (B, H, W, C) -> (B, H, K, C), a view of (B, K, H, C).

    One wide product is up to three times faster than H narrow ones.
    """
    return along_height(matrix, x.transpose(1, 2)).transpose(1, 2)


# Conduction


def squared_frequencies(
    height: int, width: int, *, dtype: torch.dtype, device: torch.device, kept: tuple[int, int] | None = None
) -> Tensor:
    """``w_n^2 + w_m^2`` for every cosine of an H x W grid, or the lowest ``kept``: (H, W), square radians a pixel."""
    counts, sizes = kept or (height, width), (height, width)
    rows, columns = (
        torch.arange(n, dtype=dtype, device=device) * math.pi / size for n, size in zip(counts, sizes, strict=True)
    )
    return rows[:, None].square() + columns.square()


def heat_decay(conductivity: Tensor, *, size: tuple[int, int] | None = None) -> Tensor:
    """Factor by which each cosine coefficient decays: ``exp(-k (w_n^2 + w_m^2))``.

    Args:
        conductivity: k >= 0 in square pixels, shape (..., H, W, C), float32 or float64.
        size: height and width of the map, where ``conductivity`` is given at its lowest frequencies only.

    Returns:
        Tensor of the same shape and dtype with values in [0, 1]; exactly 1 at the mean, (n, m) = (0, 0).
    """
    kept = (conductivity.shape[-3], conductivity.shape[-2])
    height, width = kept if size is None else size
    squared = squared_frequencies(height, width, dtype=conductivity.dtype, device=conductivity.device, kept=kept)
    return torch.exp(-conductivity * squared[:, :, None])


def heat_conduction(u: Tensor, decay: Tensor) -> Tensor:
    """Let the temperature u diffuse over an insulated rectangle: ``IDCT2(DCT2(u) * decay)``.

    A decay of fewer frequencies, K x L of H x W, is that of the lowest; what u has of the others is dropped: the
    transforms are then products with the first K and L rows of the cosine matrices, and cost as much less. They run in
    the dtype of u, except that float16 is computed in float32: the mean's coefficient grows with sqrt(H W) and would
    leave float16's range.

    Args:
        u: temperatures, shape (B, H, W, C), any floating dtype.
        decay: :func:`heat_decay` of the conductivity, shape (K, L, C) or (B, K, L, C), float32 or float64.

    Returns:
        Temperatures after conduction, shape and dtype of u.
    """
    working = torch.float32 if u.dtype == torch.float16 else u.dtype
    rows, columns = (
        dct_basis(size, count, dtype=working, device=u.device)
        for size, count in zip(u.shape[1:3], decay.shape[-3:-1], strict=True)
    )
    spectrum = along_width(columns, along_height(rows, u.to(working)))
    return along_height(rows.mT, along_width(columns.mT, spectrum * decay.to(working))).to(u.dtype)


def kept_frequencies(size: int, ratio: float) -> int:
    """How many of the ``size`` frequencies of an axis are kept: ``ceil(ratio * size)``, at least the mean."""
    millionths = max(1, round(ratio * 10**6))  # so that 0.07 * 100 is seven, not seven and a little
    return (size * millionths + 10**6 - 1) // 10**6


# Conductivity


class FrequencyValueEmbedding(nn.Module):
    """Embeddings of the frequencies ``(pi r / R, pi s / R)``, r and s from 0 to R, shared by a group of blocks.

    Args:
        channels: C.
        resolution: R, 1 or more.
    """

    def __init__(self, channels: int, resolution: int) -> None:
        super().__init__()
        if resolution < 1:
            raise ValueError(f"The frequency grid needs a resolution of 1 or more, not {resolution}.")
        self.weight = nn.Parameter(torch.randn(resolution + 1, resolution + 1, channels) * 0.02)

    def forward(self) -> Tensor:
        """The embeddings, shape (R + 1, R + 1, C)."""
        return self.weight


class Conductivity(nn.Module):
    """k >= 0 at every node of the frequency grid: ``softplus(Linear(FVE))``, in square pixels.

    Args:
        embedding_channels: C of the frequency value embeddings.
        channels: number of channels that conduct.
        k_min, k_max: where the first and the last channel start; the others lie between, evenly in log k.

    Raises:
        ValueError: if not 0 < k_min <= k_max.
    """

    def __init__(self, embedding_channels: int, channels: int, *, k_min: float, k_max: float) -> None:
        super().__init__()
        self.linear = nn.Linear(embedding_channels, channels)
        with torch.no_grad():
            start = log_spaced_conductivity(channels, k_min, k_max)
            self.linear.bias.copy_(start + torch.log(-torch.expm1(-start)))  # the inverse of softplus

    def forward(self, embedding: Tensor) -> Tensor:
        """Embeddings (R + 1, R + 1, embedding_channels) -> k (R + 1, R + 1, channels), float32 or wider."""
        with autocast_off(embedding.device):
            dtype = torch.promote_types(embedding.dtype, torch.float32)
            weight, bias = self.linear.weight.to(dtype), self.linear.bias.to(dtype)
            return F.softplus(F.linear(embedding.to(dtype), weight, bias))


def log_spaced_conductivity(channels: int, k_min: float, k_max: float) -> Tensor:
    """Conductivities from k_min to k_max, evenly spaced in log k: shape (channels,)."""
    if not 0 < k_min <= k_max:
        raise ValueError(f"Conductivities must satisfy 0 < k_min <= k_max, not k_min={k_min}, k_max={k_max}.")
    return torch.exp(torch.linspace(math.log(k_min), math.log(k_max), channels))


def interpolate_spectrum(nodes: Tensor, height: int, width: int, *, kept: tuple[int, int] | None = None) -> Tensor:
    """Read a map given at the nodes of a frequency grid at the frequencies of an H x W image.

    Frequency ``pi n / H`` lies at grid position ``n R / H``; between nodes the map is bilinear.

    Args:
        nodes: shape (..., R + 1, R + 1, C); node (r, s) belongs to the frequencies (pi r / R, pi s / R).
        height: H, 1 or more.
        width: W, 1 or more.
        kept: how many of the lowest frequencies to read along height and width; None for all.

    Returns:
        Shape (..., H, W, C), or (..., *kept, C), dtype of nodes.
    """
    resolution = nodes.shape[-2] - 1
    counts = kept or (height, width)
    rows = hat_weights(height, counts[0], resolution, nodes.dtype, nodes.device)
    columns = hat_weights(width, counts[1], resolution, nodes.dtype, nodes.device)
    along_rows: Tensor = (rows @ nodes.flatten(-2)).unflatten(-1, nodes.shape[-2:])
    return columns @ along_rows


def hat_weights(size: int, count: int, resolution: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Weights (count, R + 1) of linear interpolation: row n reads the grid at position n R / size."""
    position = torch.arange(count, dtype=dtype, device=device) * resolution / size
    node = torch.arange(resolution + 1, dtype=dtype, device=device)
    return (1 - (position[:, None] - node[None, :]).abs()).clamp(min=0)


# The operator


class HeatConduction2d(nn.Module):
    """Heat conduction with learned k, per channel and frequency; the options make k answer to its input.

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
      are taken as fully decayed. By Parseval's theorem the error is at most ``exp(-k_min w_K^2) ||u||``, w_K the
      lowest frequency left out and k_min the smallest conductivity among those left out. This project's own.

    Args:
        channels: C.
        embedding_channels: length of the frequency value embeddings given to ``forward``.
        k_min, k_max: square pixels at which the first and the last channel start; the others between, evenly in log k.
        residual: g starts at 0.1, so that the operator starts near identity whatever k is.
        content, level: see above.
        window: side of a window in pixels, or None for the whole map.
        shifted: start the windows half a window outside the map.
        spectrum_ratio: 1 for all frequencies.

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
        """Conduct.

        Args:
            u: temperatures, shape (B, H, W, C), any floating dtype and any H, W >= 1.
            embedding: frequency value embeddings, shape (R + 1, R + 1, embedding_channels).
            level: noise level σ/255 or JPEG level (100 - quality)/100, shape (B,); needed by ``level=True`` alone.

        Returns:
            Temperatures after conduction, shape (B, H, W, C); under autocast in autocast's dtype, else in u's.

        Raises:
            ValueError: if the operator was made with ``level=True`` and no level is given.
        """
        u = as_autocast(u)
        with autocast_off(u.device):
            if self.window is None:
                return self.conduct(u, embedding, level)
            conducted = self.conduct(split_windows(u, self.window, self.shift), embedding, level)
            return merge_windows(conducted, self.shift, u.shape[1], u.shape[2])

    def conduct(self, u: Tensor, embedding: Tensor, level: Tensor | None) -> Tensor:
        """The step ``u + g (heat(u) - u)`` on whole maps, or on windows as maps; arguments as of :meth:`forward`."""
        nodes = self.conductivity_nodes(u, embedding, level)
        heated = heat_conduction(u, self.decay(nodes.double() if u.dtype == torch.float64 else nodes, u.shape[1:3]))
        return heated if self.gain is None else torch.lerp(u, heated, self.gain.to(u.dtype))

    def conductivity_nodes(self, u: Tensor, embedding: Tensor, level: Tensor | None) -> Tensor:
        """k at the nodes of the frequency grid, in square pixels, scaled by content and level.

        Arguments are those of :meth:`forward`; with windows, u are the windows that :func:`split_windows` cuts.

        Returns:
            Shape (S, R + 1, R + 1, C): S = 1, or B where k answers to content or level.
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

    def decay(self, nodes: Tensor, size: tuple[int, ...]) -> Tensor:
        """Decay of the frequencies kept of a map of ``size`` = (H, W): k (S, R + 1, R + 1, C) -> (S, K, L, C)."""
        height, width = size
        if self.spectrum_ratio == 1:
            return heat_decay(interpolate_spectrum(nodes, height, width))
        kept = (kept_frequencies(height, self.spectrum_ratio), kept_frequencies(width, self.spectrum_ratio))
        return heat_decay(interpolate_spectrum(nodes, height, width, kept=kept), size=(height, width))


class _ContentScale(nn.Module):
    """``2 sigmoid(Linear(mean(u)))`` per channel, 1 at the start."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, channels)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, u: Tensor) -> Tensor:
        weight, bias = self.linear.weight, self.linear.bias
        return 2 * torch.sigmoid(F.linear(u.to(weight.dtype).mean(dim=(1, 2)), weight, bias))


class _LevelScale(nn.Module):
    """``softplus(a) + softplus(b) (level / reference)^2`` per channel; 1/2 and 1/2 at the start."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        start = torch.log(torch.expm1(torch.tensor(0.5)))
        self.base = nn.Parameter(start.repeat(channels))
        self.slope = nn.Parameter(start.repeat(channels))

    def forward(self, level: Tensor) -> Tensor:
        squared = (level.to(self.slope.dtype) / REFERENCE_LEVEL).square()
        return F.softplus(self.base) + F.softplus(self.slope) * squared[:, None]
