"""Everything that is measured of one network on one image, and its summary in numbers."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

import torch
from torch import Tensor

from vheatir.inference.network import RestorationNetwork
from vheatir.nn import VHeatIR
from vheatir.research.explain.blocks import block_label, conductions
from vheatir.research.explain.conduction import Conduction, averaging_length, diffusion_length
from vheatir.research.explain.radii import SHARES, Pixel
from vheatir.research.explain.receptive import ReceptiveField, receptive_field
from vheatir.research.explain.samples import Cut, cut_around, natural_inputs, random_inputs, sample_radius
from vheatir.research.explain.spread import Spread, pixel_spread

__all__ = ["Explanation", "explain", "summary"]

logger = logging.getLogger(__name__)

#: (image, size, count, seed) -> inputs and their pixels
_Inputs: TypeAlias = Callable[[Tensor, int, int, int], Iterator[tuple[Tensor, Pixel]]]

#: levels across the trained range at which the receptive field is measured
_LEVELS: Final = 5


@dataclass(frozen=True)
class Explanation:
    """What was measured of one network on one image.

    Attributes:
        task: of the network, "denoise-gray" and the like.
        level: σ in 8-bit units or JPEG quality.
        cut: the piece of the image on which conduction and spread were measured, and the pixel.
        restored: that piece restored, shape (1, C, h, w).
        downscale: image pixels to a feature pixel.
        conductions: of every heat operator; none where the network has none.
        spreads: of the pixel into every block's output, and into the restored image.
        natural: receptive field over cuts of the image.
        random: receptive field over images of independent random values.
        by_level: receptive field over cuts of the image where the network is told other levels, by level.
    """

    task: str
    level: float
    cut: Cut
    restored: Tensor
    downscale: int
    conductions: list[Conduction]
    spreads: list[Spread]
    natural: ReceptiveField
    random: ReceptiveField
    by_level: dict[float, ReceptiveField]

    @property
    def is_denoising(self) -> bool:
        """Whether levels are σ, not JPEG qualities."""
        return self.task.startswith("denoise")


def explain(
    model: RestorationNetwork,
    image: Tensor,
    level: float,
    *,
    pixel: Pixel | None = None,
    size: int = 256,
    samples: int = 4,
    seed: int = 0,
) -> Explanation:
    """Measure conduction, spread and receptive field.

    Args:
        model: the network.
        image: degraded image, shape (1, channels, H, W), in [0, 1], on the model's device.
        level: σ in 8-bit units, or JPEG quality, within the trained range.
        pixel: row and column of the pixel whose temperature is watched; None means the middle.
        size: side, in image pixels, of the squares on which all is measured; smaller images are taken whole.
        samples: inputs over which a receptive field is averaged; half as many at each of the other levels.
        seed: of the inputs' places and of the random inputs.

    Raises:
        ValueError: if the pixel lies outside of the image, or size or samples is less than 1.
    """
    height, width = image.shape[-2:]
    row, column = (height // 2, width // 2) if pixel is None else pixel
    if not (0 <= row < height and 0 <= column < width):
        raise ValueError(
            f"The pixel {column} {row} (X Y) lies outside of the image, which has {width}x{height} pixels."
        )
    if size < 1 or samples < 1:
        raise ValueError(f"size and samples are 1 or more, not {size} and {samples}.")
    cut = cut_around(image, (row, column), size)
    radius = sample_radius(height, width, size)
    logger.info("measuring conduction, spread and receptive fields")
    with torch.no_grad():
        restored = model(cut.image, level)

    def field(inputs: _Inputs, told: float, count: int) -> ReceptiveField:
        return receptive_field(lambda x: model(x, told), inputs(image, size, count, seed), radius)

    return Explanation(
        task=model.name,
        level=level,
        cut=cut,
        restored=restored,
        downscale=_downscale(model),
        conductions=conductions(model, cut.image, level),
        spreads=pixel_spread(model, cut.image, level, cut.pixel),
        natural=field(natural_inputs, level, samples),
        random=field(random_inputs, level, samples),
        by_level={told: field(natural_inputs, told, -(-samples // 2)) for told in _levels(model)},
    )


def summary(explanation: Explanation) -> dict[str, object]:
    """All numbers behind the sheet, ready for JSON; lengths in pixels by the names of their fields.

    NaN, of a map without any change, becomes None.
    """
    top, left = explanation.cut.corner
    row, column = explanation.cut.pixel
    height, width = explanation.cut.image.shape[-2:]
    return {
        "task": explanation.task,
        "sigma" if explanation.is_denoising else "quality": explanation.level,
        "pixel": {"x": left + column, "y": top + row},
        "cut": {"x": left, "y": top, "width": width, "height": height},
        "image_pixels_per_feature_pixel": explanation.downscale,
        "energy_shares": list(SHARES),
        "blocks": [_conduction_summary(conduction, explanation.downscale) for conduction in explanation.conductions],
        "spread": [
            {"block": block_label(spread.name), "radii_image_px": _finite(spread.radii)}
            for spread in explanation.spreads
        ],
        "receptive_field": {
            "map_side_image_px": explanation.natural.energy.shape[0],
            "inputs": explanation.natural.inputs,
            "natural_radii_image_px": _finite(explanation.natural.radii),
            "random_radii_image_px": _finite(explanation.random.radii),
            "by_level": [
                {"level": level, "inputs": field.inputs, "natural_radii_image_px": _finite(field.radii)}
                for level, field in explanation.by_level.items()
            ],
        },
    }


def _conduction_summary(conduction: Conduction, downscale: int) -> dict[str, object]:
    nodes = conduction.nodes
    diffusion, averaging = diffusion_length(nodes), averaging_length(nodes)
    return {
        "block": block_label(conduction.name),
        "module": conduction.name,
        "conducting_region_feature_px": {"width": conduction.width, "height": conduction.height},
        "channels": [
            {
                "k_at_zero_square_feature_px": float(nodes[0, 0, channel]),
                "k_smallest_square_feature_px": float(nodes[..., channel].min()),
                "k_largest_square_feature_px": float(nodes[..., channel].max()),
                "step_gain": float(conduction.gain[channel]),
                "diffusion_length_feature_px": float(diffusion[channel]),
                "diffusion_length_image_px": float(diffusion[channel]) * downscale,
                "averaging_length_feature_px": float(averaging[channel]),
                "averaging_length_image_px": float(averaging[channel]) * downscale,
                "second_moment_after_step_square_feature_px": float(
                    2 * conduction.gain[channel] * nodes[0, 0, channel]
                ),
            }
            for channel in range(conduction.channels)
        ],
    }


def _levels(model: RestorationNetwork) -> list[float]:
    """Levels evenly across the trained range, whole numbers."""
    low, high = model.level_min, model.level_max
    return sorted({float(round(low + (high - low) * index / (_LEVELS - 1))) for index in range(_LEVELS)})


def _downscale(model: RestorationNetwork) -> int:
    return model.network.config.downscale if isinstance(model.network, VHeatIR) else 1


def _finite(radii: tuple[float, ...]) -> list[float | None]:
    return [radius if math.isfinite(radius) else None for radius in radii]
