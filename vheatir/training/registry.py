"""What option files name under ``type``: this project's classes, and BasicSR's where it is installed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from vheatir.data.dataset import DegradedImageDataset
from vheatir.nn import NETWORKS
from vheatir.training import basicsr
from vheatir.training.losses import CharbonnierLoss, L1Loss, MSELoss, PSNRLoss
from vheatir.training.metrics import Metric, calculate_psnr, calculate_ssim
from vheatir.training.options import OptionError

__all__ = ["build", "build_dataset", "find_metric"]

_OWN: Final[Mapping[basicsr.Kind, Mapping[str, Any]]] = {
    "network": NETWORKS,
    "dataset": {"DegradedImageDataset": DegradedImageDataset},
    "loss": {loss.__name__: loss for loss in (L1Loss, MSELoss, CharbonnierLoss, PSNRLoss)},
    "metric": {"calculate_psnr": calculate_psnr, "calculate_ssim": calculate_ssim},
}


def build(kind: basicsr.Kind, options: Mapping[str, Any]) -> Any:
    """Make a network or a loss from its section of an option file.

    Raises:
        OptionError: if there is no such class, or it has no such arguments.
    """
    found = _find(kind, str(options["type"]))
    try:
        return found(**{key: value for key, value in options.items() if key != "type"})
    except TypeError as error:  # BasicSR's classes check their arguments no sooner
        raise OptionError(f"{options['type']} cannot be made from its section of the option file: {error}.") from error


def build_dataset(options: Mapping[str, Any]) -> Any:
    """Make a dataset from its section, which it is given as a whole.

    Raises:
        OptionError: if there is no such class.
    """
    return _find("dataset", str(options["type"]))(dict(options))


def find_metric(name: str) -> Metric:
    """The metric that option files call ``name``; BasicSR's take images in OpenCV's order of channels.

    Raises:
        OptionError: if there is none.
    """
    found = _find("metric", name)
    if name in _OWN["metric"]:
        return found  # type: ignore[no-any-return]
    return lambda restored, truth, **options: found(img=restored[..., ::-1], img2=truth[..., ::-1], **options)


def _find(kind: basicsr.Kind, name: str) -> Any:
    found = _OWN[kind].get(name) or basicsr.find_class(kind, name)
    if found is None:
        raise OptionError(f"There is no {kind} {name}. {basicsr.advice()}".rstrip())
    return found
