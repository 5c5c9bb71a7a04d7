"""The option file of a pretraining: every key, its type, range, default and meaning, and its check."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta

from vheatir.nn import VHeatIR
from vheatir.research.pretrain.extrapolation import Source
from vheatir.training.options import OptionError
from vheatir.training.options.checks import check_datasets, check_mixture
from vheatir.training.options.schema import AnyTrainingFile, StartPaths
from vheatir.training.options.sections import Count, NotNegative, Section, Whole
from vheatir.training.options.structure import check_structure

__all__ = ["PretrainingFile", "check_pretraining_options"]


class PretrainingVal(Section):
    """Validation of a pretraining."""

    val_freq: Annotated[Count, Meta(description="steps of training between validations.")]
    save_img: Annotated[bool, Meta(description="save the images.")]
    crop: Annotated[Count | None, Meta(description="side of the square in the middle; `~` for the whole image.")] = None


class Pretrain(Section):
    """Pretraining on photos alone: docs/pretraining.md."""

    sources: Annotated[
        list[Source],
        Meta(min_length=1, description="from where hidden positions are predicted; several are averaged."),
    ]
    decoder_depth: Annotated[Whole, Meta(description="residual blocks between features and pixels.")]
    visible_weight: Annotated[NotNegative, Meta(description="weight in the loss of the pixels that the network sees.")]


class PretrainingFile(AnyTrainingFile, kw_only=True):
    """A file of `python -m vheatir.research.pretrain`."""

    model_type: Annotated[Literal["QBHeatModel"], Meta(description="what trains the network.")]
    path: Annotated[StartPaths, Meta(description="files to begin with.")]
    pretrain: Annotated[Pretrain, Meta(description="what is pretrained.")]
    val: Annotated[PretrainingVal | None, Meta(description="validation while training; `~` for none.")] = None


def check_pretraining_options(options: Mapping[str, Any]) -> None:
    """Check every key and value of an option file of ``vheatir.research.pretrain``.

    Raises:
        OptionError: as for a training file, and for crops that cannot be cut into quarters.
    """
    check_structure(options, PretrainingFile)
    check_datasets(options["datasets"])
    check_mixture(options)
    _check_quarters("datasets.train.gt_size", options["datasets"]["train"]["gt_size"], options["network_g"])
    crop = (options.get("val") or {}).get("crop")
    if crop is not None:
        _check_quarters("val.crop", crop, options["network_g"])


def _check_quarters(place: str, side: int, network: Mapping[str, Any]) -> None:
    """Each quarter of a crop is cut into the blocks of pixels that the network folds."""
    downscale = network.get("downscale", inspect.signature(VHeatIR).parameters["downscale"].default)
    if side % (2 * downscale) != 0:
        raise OptionError(f"{place} is a multiple of {2 * downscale}, twice network_g.downscale, not {side}.")
