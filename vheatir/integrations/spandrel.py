"""Weights files in spandrel, with which chaiNNer, ComfyUI and other programs load models: ``docs/spandrel.md``.

>>> from vheatir.integrations.spandrel import install
>>> install()
>>> model = spandrel.ModelLoader().load_from_file("denoise-color.safetensors")
>>> model.model.sigma = 25
>>> restored = model(image)  # (1, 3, H, W) in [0, 1]
"""

from __future__ import annotations

from typing import Final

from torch import Tensor, nn

from vheatir.inference.network import RestorationNetwork, for_inference
from vheatir.system.torchvision import mend_torchvision
from vheatir.weights.file import HEADER, LevelName, WeightsHeader, network_of

mend_torchvision()  # spandrel imports torchvision

from spandrel import (  # noqa: E402
    MAIN_REGISTRY,
    Architecture,
    ArchRegistry,
    ArchSupport,
    ImageModelDescriptor,
    ModelTiling,
    StateDict,
)
from spandrel.util import KeyCondition  # noqa: E402

__all__ = ["REGISTRY", "SpandrelNetwork", "VHeatArch", "install"]

# what a model of one level is told until somebody sets it, within its range: the weakest of the usual benchmark levels,
# and the quality that most programs save with
_SIGMA: Final = 15.0
_QUALITY: Final = 75.0


class SpandrelNetwork(RestorationNetwork):
    """The network of a descriptor, ``descriptor.model``; its attributes are the levels that ``descriptor(image)`` uses.

    Attributes:
        sigma: standard deviation of the noise in 8-bit units; None where it is not known, or nothing of the model's.
            A denoising model starts with 15, "photo" with None.
        quality: JPEG quality, 1 to 100; None as for sigma. A model for JPEG starts with 75, "photo" with None.
        strength: factor of the levels, σ and 100 - quality.
    """

    def __init__(self, network: nn.Module, header: WeightsHeader) -> None:
        super().__init__(network, header)
        is_blind = header.task == "photo"
        self.sigma = None if is_blind else _within(header, "sigma", _SIGMA)
        self.quality = None if is_blind else _within(header, "quality", _QUALITY)
        self.strength = 1.0


class VHeatArch(Architecture[SpandrelNetwork]):  # type: ignore[misc]  # spandrel has no types
    """One of our networks, known by the header among the tensors of a weights file.

    Args:
        network: the name of its class.
        key: a tensor that every network of the class has, and none of the other.
    """

    def __init__(self, network: str, key: str) -> None:
        super().__init__(id=network, detect=KeyCondition.has_all(HEADER, key))

    def load(self, state_dict: StateDict) -> ImageModelDescriptor[SpandrelNetwork]:
        """Rebuild the network.

        Raises:
            WeightsError: if the header is of another version, or damaged, or the tensors are not those it describes.
        """
        model = for_inference(SpandrelNetwork(*network_of(state_dict, "This file")))
        return ImageModelDescriptor(
            model,
            model.state_dict(),
            architecture=self,
            purpose="Restoration",
            tags=[model.name],
            supports_half=True,
            supports_bfloat16=True,
            scale=1,
            input_channels=model.channels,
            output_channels=model.channels,
            tiling=ModelTiling.DISCOURAGED,  # heat crosses the whole image: docs/tiling.md
            call_fn=_restore,
        )


#: our architectures
REGISTRY: Final = ArchRegistry()
REGISTRY.add(
    ArchSupport.from_architecture(VHeatArch("VHeatIR", "groups.0.blocks.0.norm1.weight")),
    ArchSupport.from_architecture(VHeatArch("VHeatPyramid", "bottom.blocks.0.norm1.weight")),
)


def install() -> None:
    """Let every ``spandrel.ModelLoader`` of this process load our weights; a second time changes nothing."""
    MAIN_REGISTRY.add(*REGISTRY, ignore_duplicates=True)


def _restore(model: SpandrelNetwork, image: Tensor) -> Tensor:
    restored: Tensor = model(image, sigma=model.sigma, quality=model.quality, strength=model.strength)
    return restored


def _within(header: WeightsHeader, name: LevelName, level: float) -> float | None:
    """The level, or the nearest that the weights were trained for; None if they know no such level."""
    if name not in header.ranges:
        return None
    low, high = header.ranges[name]
    return min(max(level, low), high)
