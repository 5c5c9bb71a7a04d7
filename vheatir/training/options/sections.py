"""The sections of option files that have a ``type``: networks, degradations, optimizers, schedules, losses, metrics.

See :mod:`vheatir.training.options.schema`, which puts them together. ``Meta(title=...)`` says what a type cannot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import UNSET, Meta, Struct

from vheatir.data.degradations import JpegCompression
from vheatir.nn import VHeatIRConfig, VHeatPyramidConfig
from vheatir.training.losses import CharbonnierLoss, L1Loss, MSELoss, PSNRLoss
from vheatir.training.muon import Muon
from vheatir.training.options.arguments import arguments, section
from vheatir.training.schedule import CosineAnnealingRestartLR, MultiStepRestartLR, WarmupCosine

__all__ = [
    "Channels",
    "Count",
    "EvaluationDegradation",
    "Loss",
    "Metric",
    "Names",
    "Network",
    "NotNegative",
    "Optimizer",
    "Positive",
    "Schedule",
    "Section",
    "Share",
    "TestDegradation",
    "TrainingDegradation",
    "Whole",
]

Whole = Annotated[int, Meta(ge=0)]
Count = Annotated[int, Meta(ge=1)]
Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Rate = Annotated[float, Meta(ge=0, lt=1)]
Sigma = Annotated[float, Meta(ge=0, le=255)]
Quality = Annotated[int, Meta(ge=1, le=100)]
Names = Annotated[list[str], Meta(min_length=1)]


class Section(Struct, kw_only=True, forbid_unknown_fields=True):
    """A mapping of these keys to values, and of no others."""


# Networks: the section network_g

Channels = Annotated[Literal[1, 3], Meta(description="channels of the images, 1 (gray) or 3 (RGB).")]
VHeatIROptions = section("VHeatIR", {}, arguments(VHeatIRConfig, required=("in_chans",)))
VHeatPyramidOptions = section("VHeatPyramid", {}, arguments(VHeatPyramidConfig, required=("in_chans",)))

# Degradations: the section degradation of a dataset

_SigmaRange = Annotated[
    tuple[Sigma, Sigma],
    Meta(
        title="for training, [lowest, highest]",
        description="standard deviations of the noise in 8-bit units, drawn evenly between the two.",
    ),
]
_Sigmas = Annotated[
    list[Sigma],
    Meta(min_length=1, title="for training", description="instead of `sigma`, values to choose from, equally likely."),
]
_QualityRange = Annotated[
    tuple[Quality, Quality],
    Meta(
        title="for training, [lowest, highest]",
        description="JPEG qualities, drawn between the two.",
    ),
]
_PartShare = Annotated[NotNegative, Meta(description="how often it is drawn, relative to the other parts.")]
_Subsampling = Annotated[list[Literal["420", "444", 420, 444]], Meta(min_length=1)]

_NOISE = {"sigma": (_SigmaRange, UNSET), "sigmas": (_Sigmas, UNSET)}  # one of the two
_JPEG = arguments(
    JpegCompression,
    leave_out=("low", "high"),
    ranges={"double": Share, "studio_swing": Share, "subsampling": _Subsampling},
)

Noise = section("noise", {}, _NOISE)
Jpeg = section("jpeg", {"quality": _QualityRange}, _JPEG)
NoisePart = section("noise", {"share": _PartShare}, _NOISE)
JpegPart = section("jpeg", {"share": _PartShare, "quality": _QualityRange}, _JPEG)
NoiseJpegPart = section("noise_jpeg", {"share": _PartShare, "quality": _QualityRange}, _NOISE | _JPEG)
CameraPart = section("camera", {"share": _PartShare})
GrainPart = section("grain", {"share": _PartShare})
CleanPart = section("clean", {"share": _PartShare})


class Mixture(Section, tag_field="type", tag="mixture"):
    """Several degradations, one of them drawn for each crop; for `PyramidModel`."""

    gray: Annotated[Share, Meta(description="share of the crops that are gray.")]
    withheld: Annotated[Share, Meta(description="share of the crops of which the network is not told all levels.")]
    parts: Annotated[
        list[Part],
        Meta(min_length=1, title="of degradations, each with a type and a share", description="what is drawn."),
    ]


_OneSigma = Annotated[
    Sigma,
    Meta(title="for validation and testing", description="standard deviation of the noise in 8-bit units."),
]
_OneQuality = Annotated[Quality, Meta(title="for validation and testing", description="JPEG quality.")]
OneNoise = section("noise", {"sigma": _OneSigma})
OneJpeg = section("jpeg", {"quality": _OneQuality})
OneCamera = section("camera", {})

# Optimizers, schedules and losses: sections of train

_Lr = Annotated[NotNegative, Meta(description="learning rate.")]
_Betas = tuple[Rate, Rate]
_MUON_RANGES = {
    "lr": NotNegative,
    "betas": _Betas,
    "momentum": Rate,
    "eps": NotNegative,
    "weight_decay": NotNegative,
}
MuonOptions = section("Muon", {}, arguments(Muon, leave_out=("params",), required=("lr",), ranges=_MUON_RANGES))


class Adam(Section, tag_field="type", tag="Adam"):
    """PyTorch's Adam."""

    lr: _Lr
    betas: Annotated[_Betas, Meta(description="decay rates of the averages of gradient and squared gradient.")] = (
        0.9,
        0.999,
    )
    eps: Annotated[NotNegative, Meta(description="added to the denominator.")] = 1e-8
    weight_decay: Annotated[NotNegative, Meta(description="added to the gradient, times the weight.")] = 0.0
    amsgrad: Annotated[bool, Meta(description="use the largest of all averages of squared gradients.")] = False
    fused: Annotated[bool | None, Meta(description="PyTorch's fused implementation; `~` lets PyTorch choose.")] = None


class AdamW(Adam, tag_field="type", tag="AdamW"):
    """PyTorch's AdamW."""

    weight_decay: Annotated[NotNegative, Meta(description="decoupled from the gradient.")] = 0.01


WarmupCosineOptions = section(
    "WarmupCosine",
    {},
    arguments(
        WarmupCosine,
        leave_out=("optimizer", "total_iter"),
        ranges={"minutes": Positive | None, "warmup_iter": Whole, "floor": NotNegative},
    ),
)


_STEPS = arguments(
    MultiStepRestartLR,
    leave_out=("optimizer",),
    ranges={
        "milestones": list[Whole],
        "gamma": NotNegative,
        "restarts": list[Whole],
        "restart_weights": list[NotNegative],
    },
)
MultiStepLR = section("MultiStepLR", {}, _STEPS, MultiStepRestartLR)
MultiStepRestartLROptions = section("MultiStepRestartLR", {}, _STEPS, MultiStepRestartLR)
CosineAnnealingRestartLROptions = section(
    "CosineAnnealingRestartLR",
    {},
    arguments(
        CosineAnnealingRestartLR,
        leave_out=("optimizer",),
        ranges={
            "periods": Annotated[list[Count], Meta(min_length=1)],
            "restart_weights": list[NotNegative],
            "eta_min": NotNegative,
        },
    ),
    CosineAnnealingRestartLR,
)
L1LossOptions = section("L1Loss", {}, arguments(L1Loss), L1Loss)
MSELossOptions = section("MSELoss", {}, arguments(MSELoss), MSELoss)
CharbonnierLossOptions = section(
    "CharbonnierLoss", {}, arguments(CharbonnierLoss, ranges={"eps": Positive}), CharbonnierLoss
)
PSNRLossOptions = section("PSNRLoss", {}, arguments(PSNRLoss, ranges={"eps": Positive}), PSNRLoss)


class CalculatePsnr(Section, tag_field="type", tag="calculate_psnr"):
    """PSNR in dB, in 8 bits."""

    crop_border: Annotated[Whole, Meta(description="pixels at each side that do not count.")]
    input_order: Annotated[Literal["HWC"], Meta(description="order of the axes, which BasicSR's files name.")] = "HWC"
    test_y_channel: Annotated[bool, Meta(description="measure the luma of a colour image.")] = False
    better: Annotated[Literal["higher", "lower"], Meta(description="which value is the better one.")] = "higher"


class CalculateSsim(CalculatePsnr, tag_field="type", tag="calculate_ssim"):
    """Structural similarity."""


if TYPE_CHECKING:  # types that are made while the program runs
    Network = Struct
    Part = Struct
    TrainingDegradation = Struct
    EvaluationDegradation = Struct
    TestDegradation = Struct
    Optimizer = Struct
    Schedule = Struct
    Loss = Struct
else:
    Network = VHeatIROptions | VHeatPyramidOptions
    Part = NoisePart | JpegPart | NoiseJpegPart | CameraPart | GrainPart | CleanPart
    TrainingDegradation = Noise | Jpeg | Mixture
    EvaluationDegradation = OneNoise | OneJpeg | OneCamera
    TestDegradation = OneNoise | OneJpeg
    Optimizer = MuonOptions | AdamW | Adam
    Schedule = WarmupCosineOptions | MultiStepLR | MultiStepRestartLROptions | CosineAnnealingRestartLROptions
    Loss = CharbonnierLossOptions | PSNRLossOptions | L1LossOptions | MSELossOptions
Metric = CalculatePsnr | CalculateSsim
