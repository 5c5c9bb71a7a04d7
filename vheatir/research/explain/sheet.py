"""The sheet: all pictures in one PNG, or in one HTML page with the numbers below them."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vheatir.errors import UsageError
from vheatir.research.explain.blocks import block_label
from vheatir.research.explain.conduction import Conduction, averaging_length, diffusion_length
from vheatir.research.explain.draw import CONDUCTION_PANELS, NETWORK_PANELS, draw_block, draw_network
from vheatir.research.explain.explanation import Explanation
from vheatir.research.explain.spread import OUTPUT, Spread
from vheatir.system.atomic import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure, FigureBase
    from matplotlib.layout_engine import ConstrainedLayoutEngine

__all__ = ["require_matplotlib", "write_html", "write_png"]

#: inches
_WIDTH, _BLOCK_HEIGHT, _NETWORK_HEIGHT, _HEAD, _FOOT = 18.0, 2.75, 3.1, 0.8, 0.75
_DPI: Final = 100

_NOTE: Final = (
    "ω in radians a feature pixel; decay exp(-k|ω|²), the mean over all directions where |ω| is the axis; step: "
    "u + g (heat(u) - u).\n"
    "Diffusion length sqrt(2k(0)): the standard deviation of the impulse response. Averaging length: that of the "
    "Gaussian that averages as many pixels. Lengths below 0.1 lie at 0.1.\n"
    "Spread: derivative of a block's output (root of the sum of squares over channels) by the marked pixel. Receptive "
    "field: gradient of one restored pixel by the input. Rings: 90 % (dashed) and 99 % of the energy."
)


def require_matplotlib() -> None:
    """Refuse to go on without matplotlib.

    Raises:
        UsageError: if it is not installed, with the command that installs it.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise UsageError("Pictures need matplotlib: pip install 'vheatir[plots]'.") from error


def write_png(path: Path, explanation: Explanation, title: str, *, blocks: Sequence[int] | None = None) -> None:
    """Write the sheet as one PNG: the whole network, then a row a block.

    Args:
        path: the file, replaced when the new one is whole.
        explanation: what was measured.
        title: of the sheet.
        blocks: which blocks get a row, by their places from 0; None means all.

    Raises:
        UsageError: if matplotlib is not installed.
        OSError: if it cannot be written.
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    rows = _chosen(explanation, blocks)
    heights = [_HEAD, _NETWORK_HEIGHT, *[_BLOCK_HEIGHT] * len(rows), _FOOT]
    figure = Figure(figsize=(_WIDTH, sum(heights)), layout=_layout())
    parts = list(figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0])
    _head(parts[0], title, _units(explanation))
    draw_network(parts[1], explanation)
    for part, (conduction, spread) in zip(parts[2:-1], rows, strict=True):
        draw_block(part, explanation, conduction, spread)
    parts[-1].text(0.005, 0.5, _NOTE, fontsize=8, verticalalignment="center", color="0.25")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=_DPI)


def write_html(path: Path, explanation: Explanation, title: str, *, blocks: Sequence[int] | None = None) -> None:
    """Write the sheet as one HTML page that needs no other file: pictures, and tables of the lengths.

    Args, Raises: as for :func:`write_png`.
    """
    require_matplotlib()
    sections = [_section("whole network", _picture(_network_figure(explanation)), "")]
    for conduction, spread in _chosen(explanation, blocks):
        name = block_label(conduction.name if conduction is not None else spread.name if spread is not None else "")
        table = _table(conduction, explanation.downscale) if conduction is not None else ""
        sections.append(_section(name, _picture(_block_figure(explanation, conduction, spread)), table))
    page = _PAGE.format(
        title=html.escape(title),
        units=html.escape(_units(explanation)),
        note=html.escape(_NOTE),
        sections="\n".join(sections),
    )
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _chosen(explanation: Explanation, blocks: Sequence[int] | None) -> list[tuple[Conduction | None, Spread | None]]:
    rows = list(_rows(explanation))
    return rows if blocks is None else [rows[place] for place in blocks]


def _rows(explanation: Explanation) -> Iterator[tuple[Conduction | None, Spread | None]]:
    """Heat operators with the spread into their block; blocks without one alone."""
    left = list(explanation.conductions)
    for spread in explanation.spreads:
        if spread.name == OUTPUT:
            continue
        own = next((conduction for conduction in left if conduction.name.startswith(f"{spread.name}.")), None)
        if own is not None:
            left.remove(own)
        yield own, spread
    for conduction in left:
        yield conduction, None


def _units(explanation: Explanation) -> str:
    top, left = explanation.cut.corner
    row, column = explanation.cut.pixel
    height, width = explanation.cut.image.shape[-2:]
    return (
        f"1 feature pixel = {explanation.downscale} image pixels.  Pixel ({left + column}, {top + row}) within the "
        f"{width}x{height} pixels from ({left}, {top}) on, (x, y) in image pixels."
    )


def _head(part: FigureBase, title: str, units: str) -> None:
    part.text(0.005, 0.72, title, fontsize=14, fontweight="bold", verticalalignment="center")
    part.text(0.005, 0.25, units, fontsize=10, verticalalignment="center", color="0.25")


def _block_figure(explanation: Explanation, conduction: Conduction | None, spread: Spread | None) -> Figure:
    from matplotlib.figure import Figure

    panels = (CONDUCTION_PANELS if conduction is not None else 0) + (1 if spread is not None else 0)
    figure = Figure(figsize=(_WIDTH * panels / (CONDUCTION_PANELS + 1), _BLOCK_HEIGHT), layout=_layout())
    draw_block(figure, explanation, conduction, spread)
    return figure


def _network_figure(explanation: Explanation) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH * NETWORK_PANELS / (CONDUCTION_PANELS + 1), _NETWORK_HEIGHT), layout=_layout())
    draw_network(figure, explanation)
    return figure


def _layout() -> ConstrainedLayoutEngine:
    """Room between panels, so that colour bars stand clear of their neighbours."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    return ConstrainedLayoutEngine(w_pad=0.07, h_pad=0.05, wspace=0.03)


def _picture(figure: Figure) -> str:
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=_DPI)
    return base64.b64encode(data.getvalue()).decode("ascii")


def _section(name: str, picture: str, table: str) -> str:
    shown = html.escape(name)
    return f'<section><h2>{shown}</h2><img alt="{shown}" src="data:image/png;base64,{picture}">{table}</section>'


def _table(conduction: Conduction, downscale: int) -> str:
    """The lengths of every channel in image pixels."""
    diffusion, averaging = (length(conduction.nodes) * downscale for length in (diffusion_length, averaging_length))
    rows = {
        "channel": [str(channel) for channel in range(conduction.channels)],
        "k(0), feature px²": [f"{float(k):.3g}" for k in conduction.nodes[0, 0]],
        "gain g": [f"{float(gain):.2f}" for gain in conduction.gain],
        "diffusion length, image px": [f"{float(length):.1f}" for length in diffusion],
        "averaging length, image px": [f"{float(length):.1f}" for length in averaging],
    }
    lines = [
        f"<tr><th>{html.escape(name)}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
        for name, cells in rows.items()
    ]
    return f"<div><table>{''.join(lines)}</table></div>"


_PAGE: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 1800px; padding: 0 1rem; color: #222; }}
h1 {{ font-size: 1.5rem; }}
h2 {{ font-size: 1.1rem; margin: 2rem 0 .3rem; }}
img {{ max-width: 100%; height: auto; }}
div {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-size: .8rem; font-variant-numeric: tabular-nums; }}
th {{ text-align: left; font-weight: normal; padding-right: 1rem; white-space: nowrap; }}
td {{ text-align: right; padding: .1rem .5rem; border-top: 1px solid #ddd; }}
.note {{ white-space: pre-line; color: #555; font-size: .85rem; }}
@media print {{ section {{ break-inside: avoid; }} }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{units}</p>
<p class="note">{note}</p>
{sections}
</body>
</html>
"""
