"""The pictures: a row for each block, and one for the whole network.

Every figure is made of :class:`matplotlib.figure.Figure` objects, without pyplot and its global state. Colours are
Okabe and Ito's, colour maps cividis, inferno and PuOr, which colour-blind readers can tell apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vheatir.research.explain.blocks import block_label
from vheatir.research.explain.conduction import (
    Conduction,
    averaging_length,
    diffusion_length,
    impulse_response,
    radial_decay,
    read_conductivity,
    transfer,
)
from vheatir.research.explain.explanation import Explanation
from vheatir.research.explain.radii import SHARES
from vheatir.research.explain.receptive import ReceptiveField
from vheatir.research.explain.spread import OUTPUT, Spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import FigureBase

__all__ = ["CONDUCTION_PANELS", "NETWORK_PANELS", "draw_block", "draw_network", "set_apart"]

Array = npt.NDArray[Any]

#: panels of a block with a heat operator, less the spread, and of the network as a whole
CONDUCTION_PANELS: Final = 6
NETWORK_PANELS: Final = 6

_SMALL: Final = 7
_LINES: Final = (("#0072B2", "-"), ("#D55E00", "--"), ("#009E73", "-."))
_RINGS: Final = (":", "--", "-")
_DECADES: Final = 4
#: of a label of two lines, as a share of a panel's height
_LABEL_HEIGHT: Final = 0.16
_ROUNDS_APART: Final = 50
_RESPONSE_REACH: Final = 16
_FREQUENCIES: Final = 181
#: the smallest length that has a place on the axis, in feature pixels
_SHORTEST: Final = 0.1


def draw_block(
    figure: FigureBase, explanation: Explanation, conduction: Conduction | None, spread: Spread | None
) -> None:
    """Draw one block: conductivity, decay, impulse response, lengths (where it conducts), and the pixel's spread."""
    count = (CONDUCTION_PANELS if conduction else 0) + (1 if spread else 0)
    panels = list(figure.subplots(1, count, squeeze=False)[0])
    if conduction is not None:
        _draw_conduction(panels, conduction, explanation.downscale)
    if spread is not None:
        _draw_spread(panels[-1], explanation, spread)
    name = conduction.name if conduction is not None else spread.name if spread is not None else ""
    _finish(figure, panels, block_label(name))


def draw_network(figure: FigureBase, explanation: Explanation) -> None:
    """Draw the whole network: what it was given and made of it, the spread, and the effective receptive field."""
    panels = list(figure.subplots(1, NETWORK_PANELS, squeeze=False)[0])
    _draw_image(panels[0], explanation, explanation.cut.image, "degraded image, the pixel marked")
    _draw_image(panels[1], explanation, explanation.restored, "restored image")
    (output,) = (spread for spread in explanation.spreads if spread.name == OUTPUT)
    _draw_spread(panels[2], explanation, output)
    panels[2].set_title(_with_radii("spread into the restored image", output.radii))
    _draw_field(panels[3], explanation.natural)
    _draw_enclosed(panels[4], explanation)
    _draw_levels(panels[5], explanation)
    _finish(figure, panels, "whole network")


def _draw_conduction(panels: list[Axes], conduction: Conduction, downscale: int) -> None:
    lengths = averaging_length(conduction.nodes)
    order = torch.argsort(lengths)
    shown = list(dict.fromkeys(int(order[place]) for place in (0, len(order) // 2, len(order) - 1)))
    middle = int(order[len(order) // 2])
    _draw_conductivity(panels[0], conduction, shown)
    _draw_decay(panels[1], conduction, shown)
    _draw_decay_map(panels[2], conduction, order)
    _draw_conductivity_map(panels[3], conduction, middle)
    _draw_response(panels[4], conduction, middle)
    _draw_lengths(panels[5], conduction, downscale)


def _frequencies(conduction: Conduction) -> Tensor:
    return torch.linspace(0, math.pi, _FREQUENCIES, dtype=conduction.nodes.dtype)


def _draw_conductivity(axes: Axes, conduction: Conduction, shown: list[int]) -> None:
    """k(ω) along both axes of the frequency plane."""
    frequencies = _frequencies(conduction)
    still = torch.zeros_like(frequencies)
    across = read_conductivity(conduction.nodes, still, frequencies)
    down = read_conductivity(conduction.nodes, frequencies, still)
    for channel, (color, _) in zip(shown, _LINES, strict=False):
        axes.plot(_cycles(frequencies), across[:, channel].numpy(), color=color)
        axes.plot(_cycles(frequencies), down[:, channel].numpy(), color=color, linestyle=":", linewidth=1)
    axes.set_yscale("symlog", linthresh=0.1)
    axes.set_ylim(bottom=0)
    _label_lines(axes, {f"channel {c}\ng = {float(conduction.gain[c]):.2f}": float(across[-1, c]) for c in shown})
    axes.set_title("conductivity k(ω)\nalong x (solid), along y (dotted)")
    axes.set_ylabel("k (feature px²)")
    _frequency_axis(axes)


def _label_lines(axes: Axes, ends: Mapping[str, float]) -> None:
    """Label lines where they end on the right, in their colours, one label clear of the next."""
    to_share = axes.transData + axes.transAxes.inverted()  # of the axes' height: the layout is not made yet
    heights = [float(to_share.transform((0.0, value))[1]) for value in ends.values()]
    for label, height, (color, _) in zip(ends, set_apart(heights, _LABEL_HEIGHT), _LINES, strict=False):
        axes.annotate(
            label,
            (1, height),
            (4, 0),
            xycoords="axes fraction",
            textcoords="offset points",
            color=color,
            fontsize=_SMALL,
            va="center",
        )


def set_apart(places: Sequence[float], gap: float) -> list[float]:
    """Move places on a line until neighbours are ``gap`` apart; their order and their mean stay as they are."""
    moved = list(places)
    order = sorted(range(len(moved)), key=moved.__getitem__)
    for _ in range(_ROUNDS_APART):
        for lower, upper in pairwise(order):
            push = max(0.0, gap - (moved[upper] - moved[lower])) / 2
            moved[lower] -= push
            moved[upper] += push
    return moved


def _draw_decay(axes: Axes, conduction: Conduction, shown: list[int]) -> None:
    """exp(-k ω²), and what the operator makes of a frequency after its residual step."""
    frequencies = _frequencies(conduction)
    decay = radial_decay(conduction.nodes, frequencies)
    after = transfer(decay, conduction.gain)
    for channel, (color, _) in zip(shown, _LINES, strict=False):
        axes.plot(_cycles(frequencies), decay[:, channel].numpy(), color=color)
        axes.plot(_cycles(frequencies), after[:, channel].numpy(), color=color, linestyle="--", linewidth=1)
    axes.set_title("decay exp(-k|ω|²) (solid)\nafter the residual step (dashed)")
    axes.set_ylabel("factor of the frequency")
    axes.set_ylim(bottom=min(0.0, float(after[:, shown].min()) * 1.1))
    _frequency_axis(axes)


def _draw_decay_map(axes: Axes, conduction: Conduction, order: Tensor) -> None:
    """The decay of every channel, those that reach farthest at the top."""
    decay = radial_decay(conduction.nodes, _frequencies(conduction))[:, order]
    image = axes.imshow(
        decay.T.numpy(),
        origin="lower",
        aspect="auto",
        cmap="cividis",
        vmin=0,
        vmax=1,
        extent=(0, 0.5, -0.5, len(order) - 0.5),
    )
    step = max(1, len(order) // 16)
    axes.set_yticks(range(0, len(order), step), [str(int(channel)) for channel in order[::step]])
    axes.set_title("decay, all channels")
    axes.set_ylabel("channel, by averaging length")
    _frequency_axis(axes)
    _color_bar(axes, image, "exp(-k|ω|²)")


def _draw_conductivity_map(axes: Axes, conduction: Conduction, channel: int) -> None:
    frequencies = torch.linspace(0, math.pi, 65, dtype=conduction.nodes.dtype)
    down, across = torch.meshgrid(frequencies, frequencies, indexing="ij")
    k = read_conductivity(conduction.nodes, down, across)[..., channel]
    image = axes.imshow(k.numpy(), origin="lower", cmap="cividis", extent=(0, 0.5, 0, 0.5))
    axes.set_title(f"k(ω), channel {channel}")
    axes.set_ylabel("along y (cycles / feature px)")
    _frequency_axis(axes)
    axes.set_xlabel("along x (cycles / feature px)")
    _color_bar(axes, image, "k (feature px²)")


def _draw_response(axes: Axes, conduction: Conduction, channel: int) -> None:
    """The impulse response: it is symmetric, so that its left half before the step and its right one after it do."""
    from matplotlib.colors import SymLogNorm

    side = max(1, min(conduction.height, conduction.width) // 2 * 2 - 1)
    reach, centre = min(_RESPONSE_REACH, side // 2), side // 2
    kept = slice(centre - reach, centre + reach + 1)
    before, after = (
        impulse_response(conduction, side, step=step)[kept, kept, channel].numpy() for step in (False, True)
    )
    image = axes.imshow(
        np.concatenate((before[:, :reach], after[:, reach:]), axis=1),
        cmap="PuOr_r",
        norm=SymLogNorm(10.0**-_DECADES, vmin=-1, vmax=1),
        extent=(-reach - 0.5, reach + 0.5, reach + 0.5, -reach - 0.5),
    )
    axes.axvline(-0.5, color="black", linewidth=0.8)
    axes.set_title(f"impulse response, channel {channel}\nbefore | after the step, g = {conduction.gain[channel]:.2f}")
    axes.set_xlabel("feature px")
    axes.set_ylabel("feature px")
    _color_bar(axes, image, "share of the heat", ticks=(-1, -1e-2, -1e-4, 0, 1e-4, 1e-2, 1))


def _draw_lengths(axes: Axes, conduction: Conduction, downscale: int) -> None:
    """Both lengths of every channel, coloured by the gain of the step."""
    from matplotlib.ticker import MaxNLocator

    channels = np.arange(conduction.channels)
    diffusion, averaging = diffusion_length(conduction.nodes), averaging_length(conduction.nodes)
    axes.plot(
        channels, averaging.numpy(), linestyle="none", marker="_", color="black", markersize=9, label="averaging length"
    )
    reach = max(1.0, float(conduction.gain.abs().max()))
    points = axes.scatter(
        channels,
        diffusion.clamp(min=_SHORTEST).numpy(),
        c=conduction.gain.numpy(),
        cmap="PuOr_r",
        vmin=-reach,
        vmax=reach,
        edgecolors="black",
        linewidths=0.7,
        s=26,
        label="diffusion length sqrt(2k(0))",
        zorder=3,
    )
    axes.set_yscale("log")
    axes.set_ylim(_SHORTEST * 0.8, max(10.0, 1.6 * float(diffusion.max())))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title("length a channel\n○ diffusion   – averaging")
    axes.set_xlabel("channel")
    axes.set_ylabel(f"feature px (1 = {downscale} image px)")
    axes.grid(visible=True, axis="y", color="0.88", linewidth=0.6)
    axes.set_axisbelow(True)
    _color_bar(axes, points, "gain g of the step")


def _draw_spread(axes: Axes, explanation: Explanation, spread: Spread) -> None:
    """The spread over the restored image, in decades below its peak, with the rings that hold its shares."""
    height, width = explanation.cut.image.shape[-2:]
    axes.imshow(_shown(explanation.restored), cmap="gray", vmin=0, vmax=1, extent=(0, width, height, 0))
    change = spread.change.numpy()
    decades = np.log10(np.maximum(change / max(float(change.max()), 1e-300), 1e-30))
    rows, columns = (size * spread.scale for size in change.shape)
    image = axes.imshow(
        decades, cmap=_see_through(), vmin=-_DECADES, vmax=0, extent=(0, columns, rows, 0), interpolation="nearest"
    )
    _draw_rings(axes, (explanation.cut.pixel[1] + 0.5, explanation.cut.pixel[0] + 0.5), spread.radii)
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_title(_with_radii("spread of the pixel", spread.radii))
    axes.set_xlabel("image px")
    _color_bar(axes, image, "log₁₀ change / largest", ticks=range(-_DECADES, 1))


def _draw_image(axes: Axes, explanation: Explanation, image: Tensor, title: str) -> None:
    axes.imshow(_shown(image), cmap="gray", vmin=0, vmax=1)
    row, column = explanation.cut.pixel
    axes.plot([column], [row], marker="+", color="#D55E00", markersize=9, markeredgewidth=1.6)
    axes.set_title(title)
    axes.set_xlabel("image px")


def _draw_field(axes: Axes, field: ReceptiveField) -> None:
    radius = field.energy.shape[0] // 2
    magnitude = field.energy.sqrt().numpy()
    decades = np.log10(np.maximum(magnitude / max(float(magnitude.max()), 1e-300), 1e-30))
    edge = radius + 0.5
    image = axes.imshow(decades, cmap="inferno", vmin=-_DECADES, vmax=0, extent=(-edge, edge, edge, -edge))
    _draw_rings(axes, (0.0, 0.0), field.radii)
    axes.set_title(_with_radii("effective receptive field", field.radii))
    axes.set_xlabel("image px")
    _color_bar(axes, image, "log₁₀ |gradient| / largest", ticks=range(-_DECADES, 1))


def _draw_enclosed(axes: Axes, explanation: Explanation) -> None:
    """How much of the gradient's energy comes from farther away than a radius."""
    fields = {"the image": explanation.natural, "random values": explanation.random}
    for (label, field), (color, dash) in zip(fields.items(), _LINES, strict=False):
        distances, enclosed = field.enclosed()
        axes.plot(distances.numpy(), (1 - enclosed).clamp(min=1e-12).numpy(), color=color, linestyle=dash, label=label)
    for share, dash in zip(SHARES, _RINGS, strict=True):
        axes.axhline(1 - share, color="0.5", linewidth=0.8, linestyle=dash)
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xlim(left=0)
    axes.set_yscale("log")
    axes.set_ylim(1e-5, 1.2)
    axes.set_title(f"energy from beyond the radius\ninputs averaged: {explanation.natural.inputs}")
    axes.set_xlabel("radius (image px)")
    axes.set_ylabel("share of the gradient's energy")
    axes.legend(fontsize=_SMALL, frameon=False, title="input", title_fontsize=_SMALL, loc="lower left")


def _draw_levels(axes: Axes, explanation: Explanation) -> None:
    levels = list(explanation.by_level)
    for index, (share, (color, _), dash) in enumerate(zip(SHARES, _LINES, reversed(_RINGS), strict=True)):
        radii = [field.radii[index] for field in explanation.by_level.values()]
        axes.plot(levels, radii, color=color, linestyle=dash, marker="os^"[index], label=f"{share:.0%}")
    axes.set_ylim(bottom=0)
    axes.set_title("effective receptive field\nwhere other levels are told")
    axes.set_xlabel("noise σ told (8-bit units)" if explanation.is_denoising else "JPEG quality told")
    axes.set_ylabel("radius (image px)")
    axes.legend(fontsize=_SMALL, frameon=False, title="of the energy", title_fontsize=_SMALL)
    axes.grid(visible=True, color="0.88", linewidth=0.6)


def _draw_rings(axes: Axes, centre: tuple[float, float], radii: tuple[float, ...]) -> None:
    from matplotlib.patches import Circle

    for radius, dash in zip(radii[1:], _RINGS[1:], strict=True):
        if math.isfinite(radius):
            axes.add_patch(Circle(centre, radius + 0.5, fill=False, color="#56B4E9", linewidth=1, linestyle=dash))


def _with_radii(title: str, radii: tuple[float, ...]) -> str:
    shares = "/".join(f"{100 * share:.0f}" for share in SHARES)
    return f"{title}\n{shares} % within {'/'.join(f'{radius:.1f}' for radius in radii)} px"


def _frequency_axis(axes: Axes) -> None:
    axes.set_xlim(0, 0.5)
    axes.set_xlabel("|ω| / 2π (cycles / feature px)")


def _finish(figure: FigureBase, panels: list[Axes], title: str) -> None:
    figure.suptitle(title, fontsize=10, fontweight="bold", x=0.005, horizontalalignment="left")
    for panel in panels:
        panel.title.set_fontsize(_SMALL + 1)
        panel.xaxis.label.set_fontsize(_SMALL)
        panel.yaxis.label.set_fontsize(_SMALL)
        panel.tick_params(labelsize=_SMALL)


def _color_bar(axes: Axes, image: Any, label: str, *, ticks: Sequence[float] | None = None) -> None:
    bar = axes.figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03, ticks=ticks)
    bar.set_label(label, fontsize=_SMALL)
    bar.ax.tick_params(labelsize=_SMALL - 1)
    bar.ax.minorticks_off()


def _see_through() -> Colormap:
    """Inferno that lets the image shine through where little changes."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    colors = colormaps["inferno"](np.linspace(0, 1, 256))
    colors[:, 3] = np.linspace(0.0, 1.0, 256) ** 0.5
    return ListedColormap(colors, name="inferno_see_through")


def _shown(image: Tensor) -> Array:
    """(1, C, H, W) as gray (H, W) or RGB (H, W, 3) in [0, 1]."""
    pixels: Array = image[0].clamp(0, 1).permute(1, 2, 0).cpu().numpy()
    return pixels[..., 0] if pixels.shape[2] == 1 else pixels


def _cycles(frequencies: Tensor) -> Array:
    cycles: Array = (frequencies / (2 * math.pi)).numpy()
    return cycles
