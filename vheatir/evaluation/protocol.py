"""How images are degraded and scored: SwinIR's protocol, and named departures from it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vheatir.data.color import rgb_to_studio_luma
from vheatir.data.evaluation import Task, clean_image, degraded_image
from vheatir.data.sources import ImageSource
from vheatir.evaluation.results import Channels

__all__ = ["Protocol", "to_eight_bits"]

Image = NDArray[np.uint8]
FloatImage = NDArray[np.float32]


@dataclass(frozen=True)
class Protocol:
    """SwinIR's protocol (Liang et al., ICCVW 2021, and its test script), unless something else is asked.

    Args:
        clip: clip the noisy image to [0, 1].
        quantise: round the noisy image to 8 bits, which clips it too.
        seed: of the noise; the same before every image.
        full_range: gray JPEG of OpenCV's gray, 0 to 255, rather than of MATLAB's Y, 16 to 235.
        score_luma: score MATLAB's Y (8 bits) of colour images rather than the RGB channels.
        border: pixels at each edge that are not scored.
        tile: largest side of the tiles in which our models restore; None is the whole image in one pass. For the line
            alone: the methods do it.

    Raises:
        ValueError: if border is negative.
    """

    clip: bool = False
    quantise: bool = False
    seed: int = 0
    full_range: bool = False
    score_luma: bool = False
    border: int = 0
    tile: int | None = None

    def __post_init__(self) -> None:
        if self.border < 0:
            raise ValueError(f"border is 0 pixels or more, not {self.border}.")

    def pair(
        self, source: ImageSource, index: int, *, task: Task, channels: Channels, level: float
    ) -> tuple[FloatImage, Image]:
        """Make the degraded image, float, and the truth, 8 bits: (H, W) for gray, (H, W, 3) RGB for colour."""
        count = 1 if channels == "gray" else 3
        truth = clean_image(source, index, task=task, channels=count, full_range=self.full_range)
        degraded = degraded_image(truth, task=task, level=level, seed=self.seed)
        if self.quantise:
            degraded = to_eight_bits(degraded).astype(np.float32) / np.float32(255)
        elif self.clip:
            degraded = degraded.clip(0, 1)
        return degraded, truth

    def scored(self, image: Image) -> Image:
        """The part of an 8-bit image that the metrics see."""
        if self.score_luma and image.ndim == 3:
            image = rgb_to_studio_luma(image)
        height, width = image.shape[:2]
        return image[self.border : height - self.border, self.border : width - self.border]

    def line(self, provenance: str, task: Task, channels: Channels) -> str:
        """The one line that goes with every table.

        Args:
            provenance: which images, as :attr:`vheatir.evaluation.sets.ImageSet.provenance` says it.
            task: what was removed.
            channels: what was scored.
        """
        departures = self._departures(task, channels)
        named = f"NOT SwinIR's protocol ({', '.join(departures)})" if departures else "SwinIR's protocol"
        parts = [
            f"{provenance}. {named}",
            self._noise(channels) if task == "denoise" else self._compression(channels),
            "the whole image in one pass" if self.tile is None else f"our models in tiles of {self.tile} pixels",
            "output clamped and rounded to 8 bits",
            f"metrics over {self._scored_channels(channels)}, border {self.border}",
            "mean of the images' values",
        ]
        return "; ".join(parts) + "."

    def _departures(self, task: Task, channels: Channels) -> list[str]:
        named = {
            "noisy image rounded to 8 bits": task == "denoise" and self.quantise,
            "noisy image clipped": task == "denoise" and self.clip and not self.quantise,
            f"noise seed {self.seed}": task == "denoise" and self.seed != 0,
            "full-range gray": task == "jpeg" and channels == "gray" and self.full_range,
            "scored on Y": channels == "color" and self.score_luma,
            f"border {self.border}": self.border != 0,
            "tiles": self.tile is not None,
        }
        return [name for name, departs in named.items() if departs]

    def _noise(self, channels: Channels) -> str:
        order = ", drawn in BGR order" if channels == "color" else ""
        limits = "neither clipped nor rounded"
        if self.quantise:
            limits = "clipped to [0, 1] and rounded to 8 bits"
        elif self.clip:
            limits = "clipped to [0, 1], not rounded"
        return f"8-bit image plus N(0, σ²), numpy seed {self.seed} before every image{order}, in float, {limits}"

    def _compression(self, channels: Channels) -> str:
        if channels == "color":
            return f"RGB, compressed by OpenCV {cv2.__version__} with 4:2:0 chroma"
        gray = "OpenCV's gray (0 to 255)" if self.full_range else "MATLAB's Y (16 to 235) of colour files"
        return f"{gray}, compressed by OpenCV {cv2.__version__} as gray"

    def _scored_channels(self, channels: Channels) -> str:
        if channels == "gray":
            return "the gray channel"
        return "MATLAB's Y" if self.score_luma else "RGB jointly (SSIM, PSNR-B: mean of channels)"


def to_eight_bits(image: FloatImage) -> Image:
    """Clamp to [0, 1], multiply by 255 and round, any shape."""
    return np.asarray((image.clip(0, 1) * 255).round(), dtype=np.uint8)
