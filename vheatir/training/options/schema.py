"""Every key of every option file: its type, range, default and meaning.

:mod:`vheatir.training.options.checks` checks files by these structures, and :mod:`vheatir.training.options.page` makes
the tables of ``docs/options.md`` of them. A key without a default must be given.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType

from vheatir.training.options.sections import (
    Channels,
    Count,
    EvaluationDegradation,
    Loss,
    Metric,
    Names,
    Network,
    NotNegative,
    Optimizer,
    Positive,
    Schedule,
    Section,
    Share,
    TestDegradation,
    TrainingDegradation,
    Whole,
)

__all__ = ["ComparisonFile", "Phases", "PretrainingFile", "Source", "TestFile", "TrainingFile"]


#: from which place of the visible quarter a hidden position is predicted
Source = Literal["nearest", "mirrored", "corresponding"]

# Datasets

_Tell = Annotated[
    Literal["all", "none"] | None,
    Meta(description="which levels a network of two levels is told; `~` for a network of one level."),
]
_Gray = Annotated[bool, Meta(description="gray images as three equal channels.")]


class Dataset(Section, kw_only=True, tag_field="type", tag="DegradedImageDataset"):
    """Clean images and how they are degraded."""

    name: Annotated[str, Meta(description="name in logs and results.")]
    in_chans: Channels
    dataroot_gt: Annotated[
        str | None, Meta(description="a folder of images, an LMDB (`*.lmdb`) or an archive (`*.tar`).")
    ] = None
    dataroots_gt: Annotated[Names | None, Meta(description="instead of `dataroot_gt`, several of them.")] = None
    include_list: Annotated[
        str | None, Meta(description="text file of the images to use, one `folder/file` a line.")
    ] = None
    exclude_list: Annotated[str | None, Meta(description="text file of the images to leave out.")] = None


class LoadedDataset(Dataset, kw_only=True, tag_field="type", tag="DegradedImageDataset"):
    """Clean images that a training loads."""

    cache: Annotated[bool, Meta(description="decode every image once and keep it in memory.")] = False
    pin_memory: Annotated[bool, Meta(description="page-locked memory, faster to copy to a GPU.")] = False


class TrainingDataset(LoadedDataset, tag_field="type", tag="DegradedImageDataset", kw_only=True):
    """Images to train on: random crops, degraded at random."""

    degradation: Annotated[TrainingDegradation, Meta(description="what is done to the crops.")]
    gt_size: Annotated[Count, Meta(description="side of the square crops in pixels.")]
    use_hflip: Annotated[bool, Meta(description="flip crops at random.")]
    use_rot: Annotated[bool, Meta(description="rotate crops by 90 degrees at random.")]
    seed: Annotated[Whole, Meta(description="of all random draws of the dataset.")]
    batch_size_per_gpu: Annotated[Count, Meta(description="crops in a batch, for each GPU.")]
    num_worker_per_gpu: Annotated[
        Whole, Meta(description="processes that prepare batches, for each GPU; 0 for none beside the training's own.")
    ]
    on_device: Annotated[
        bool, Meta(description="make batches on the GPU; for `noise` and `jpeg`, not for a mixture.")
    ] = False
    prefetch_mode: Annotated[
        Literal["cpu"] | None, Meta(description="`cpu` prepares the next batches in a thread of its own.")
    ] = None
    num_prefetch_queue: Annotated[Count, Meta(description="batches that `prefetch_mode: cpu` prepares ahead.")] = 1
    persistent_workers: Annotated[
        bool, Meta(description="keep the processes that prepare batches; needs `num_worker_per_gpu` of 1 or more.")
    ] = False


class EvaluationDataset(LoadedDataset, tag_field="type", tag="DegradedImageDataset", kw_only=True):
    """Images to validate or test with: whole, degraded by the field's protocol, the same every time."""

    degradation: Annotated[EvaluationDegradation, Meta(description="what is done to the images.")]
    tell: _Tell = None
    gray: _Gray = False
    crop: Annotated[
        Count | None, Meta(description="side of the square in the middle that is used; `~` for the whole image.")
    ] = None


class TestDataset(Dataset, tag_field="type", tag="DegradedImageDataset", kw_only=True):
    """Images to score on: whole, degraded by the field's protocol, the same every time."""

    degradation: Annotated[TestDegradation, Meta(description="what is done to the images.")]
    tell: _Tell = None
    gray: _Gray = False


class Phases(Section):
    """Datasets by what they are for. The last may stand several times: ``val``, ``val_2``, ``val_anything``."""


class TrainingDatasets(Phases):
    """What to train on and to validate with."""

    train: Annotated[TrainingDataset, Meta(description="what to train on.")]
    val: Annotated[
        EvaluationDataset | UnsetType, Meta(description="what to validate with; also several, `val_2`, `val_anything`.")
    ] = UNSET


class TestDatasets(Phases):
    """What to score on."""

    val: Annotated[TestDataset | UnsetType, Meta(description="the same as `test`.")] = UNSET
    test: Annotated[
        TestDataset | UnsetType, Meta(description="what to score on; also several, `test_2`, `test_anything`.")
    ] = UNSET


# Other sections


class PretrainingPaths(Section):
    """Files to begin with."""

    pretrain_network_g: Annotated[str | None, Meta(description="weights to begin with.")] = None
    resume_state: Annotated[str | None, Meta(description="training state, `*.state`, to go on from.")] = None


class Paths(PretrainingPaths):
    """Files to begin with."""

    strict_load_g: Annotated[
        bool, Meta(description="the weights must fit the network; otherwise tensors of other shapes are left out.")
    ] = True
    param_key_g: Annotated[
        str | None,
        Meta(description="which weights of a checkpoint: `params`, or `params_ema`, the averaged ones."),
    ] = "params"


class TestPaths(Paths):
    """The weights to score."""

    param_key_g: Annotated[
        str | None,
        Meta(description="which weights of a checkpoint: `params`, or `params_ema`, the averaged ones."),
    ] = "params_ema"


class ComparedTrain(Section):
    """How to train."""

    optim_g: Annotated[Optimizer, Meta(description="the optimizer.")]
    scheduler: Annotated[Schedule, Meta(description="the learning rate's schedule.")]
    total_iter: Annotated[
        Count, Meta(description="most steps of training, and the length of a schedule without `minutes`.")
    ]
    pixel_opt: Annotated[Loss, Meta(description="the loss.")]
    ema_decay: Annotated[
        Share, Meta(description="decay of the averaged weights, which are validated and exported; 0 for none.")
    ] = 0.0
    warmup_iter: Annotated[
        int,
        Meta(description="steps in which the rate rises, for schedules without a warm-up of their own; -1 for none."),
    ] = -1
    precision: Annotated[
        Literal["fp32", "bf16", "auto"],
        Meta(description="of the products; `auto` is bf16 where the machine computes it."),
    ] = "fp32"
    grad_clip: Annotated[Positive | None, Meta(description="largest norm of the gradient; `~` for any.")] = None
    accumulate: Annotated[Count, Meta(description="parts that a batch is computed in, to save memory.")] = 1
    compile: Annotated[bool, Meta(description="compile the network with torch.compile.")] = False


class Train(ComparedTrain):
    """How to train."""

    level_weight: Annotated[
        NotNegative | UnsetType,
        Meta(description="weight of the level estimator's loss; required for `PyramidModel`, and only there."),
    ] = UNSET


class PretrainingVal(Section):
    """Validation of a pretraining."""

    val_freq: Annotated[Count, Meta(description="steps of training between validations.")]
    save_img: Annotated[bool, Meta(description="save the images.")]
    crop: Annotated[Count | None, Meta(description="side of the square in the middle; `~` for the whole image.")] = None


class TestVal(Section):
    """How to score."""

    save_img: Annotated[bool, Meta(description="save the restored images.")]
    suffix: Annotated[
        str | None, Meta(description="appended to the names of saved images; `~` for the file's `name`.")
    ] = None
    metrics: Annotated[dict[str, Metric] | None, Meta(description="what is measured, by names of your choice.")] = None
    pbar: Annotated[bool, Meta(description="show a progress bar.")] = False
    tile: Annotated[Count | None, Meta(description="side of the tiles that images are restored in; `~` for none.")] = (
        None
    )
    tile_overlap: Annotated[Whole, Meta(description="pixels that neighbouring tiles share.")] = 32


class Val(TestVal, kw_only=True):
    """Validation while training."""

    val_freq: Annotated[Count, Meta(description="steps of training between validations.")]


class Logger(Section):
    """What is written down while training."""

    print_freq: Annotated[Count, Meta(description="steps between lines of the log.")]
    save_checkpoint_freq: Annotated[Count, Meta(description="steps between checkpoints.")]
    use_tb_logger: Annotated[bool, Meta(description="write curves for TensorBoard.")]
    save_checkpoint_minutes: Annotated[
        NotNegative | None, Meta(description="minutes between checkpoints too; `~` for none by the clock.")
    ] = None


class DistParams(Section):
    """Several processes on SLURM."""

    backend: Annotated[str, Meta(description="of torch.distributed.")] = "nccl"
    port: Annotated[Annotated[int, Meta(ge=1, le=65535)] | None, Meta(description="of the first process.")] = None


class Pretrain(Section):
    """Pretraining on photos alone: docs/pretraining.md."""

    sources: Annotated[
        list[Source],
        Meta(min_length=1, description="from where hidden positions are predicted; several are averaged."),
    ]
    decoder_depth: Annotated[Whole, Meta(description="residual blocks between features and pixels.")]
    visible_weight: Annotated[NotNegative, Meta(description="weight in the loss of the pixels that the network sees.")]


# Files


class File(Section, kw_only=True):
    """What every file has."""

    name: Annotated[str, Meta(description="name of the experiment, and of its folder.")]
    num_gpu: Annotated[Literal["auto"] | Whole, Meta(description="GPUs to use; `auto` for all, 0 for the processor.")]
    manual_seed: Annotated[int | None, Meta(description="of the weights at the start; `~` draws one.")]
    network_g: Annotated[Network, Meta(description="the network.")]
    dist_params: Annotated[DistParams | None, Meta(description="several processes on SLURM.")] = None


class TestFile(File, kw_only=True):
    """A file of `vheatir test`."""

    model_type: Annotated[Literal["RestorationModel", "PyramidModel"], Meta(description="what tests the network.")]
    datasets: Annotated[TestDatasets, Meta(description="what to score on.")]
    path: Annotated[TestPaths, Meta(description="the weights to score, `pretrain_network_g`, which must be given.")]
    val: Annotated[TestVal, Meta(description="how to score.")]


class AnyTrainingFile(File, kw_only=True):
    """What files of trainings and pretrainings have."""

    datasets: Annotated[TrainingDatasets, Meta(description="what to train on and to validate with.")]
    train: Annotated[Train, Meta(description="how to train.")]
    logger: Annotated[Logger, Meta(description="what is written down while training.")]
    find_unused_parameters: Annotated[
        bool, Meta(description="for several processes, if some weights take no part in a step.")
    ] = False


class TrainingFile(AnyTrainingFile, kw_only=True):
    """A file of `vheatir train` and `vheatir export`."""

    model_type: Annotated[Literal["RestorationModel", "PyramidModel"], Meta(description="what trains the network.")]
    path: Annotated[Paths, Meta(description="files to begin with.")]
    val: Annotated[Val | None, Meta(description="validation while training; `~` for none.")] = None


class PretrainingFile(AnyTrainingFile, kw_only=True):
    """A file of `vheatir pretrain`."""

    model_type: Annotated[Literal["QBHeatModel"], Meta(description="what trains the network.")]
    path: Annotated[PretrainingPaths, Meta(description="files to begin with.")]
    pretrain: Annotated[Pretrain, Meta(description="what is pretrained.")]
    val: Annotated[PretrainingVal | None, Meta(description="validation while training; `~` for none.")] = None


# Comparisons: what is left out of ``common`` is filled in for every run, which is then checked as a training file


class Task(Section):
    """What to train on, and what to validate with."""

    degradation: Annotated[dict[str, Any], Meta(description="as in `datasets.train` of a training file.")]
    validate: Annotated[dict[str, Any], Meta(description="named degradations, as in `datasets.val`.")]


class CommonDatasets(Section):
    """Both without `name`, `degradation` and `seed`, which are filled in for every run."""

    train: Annotated[dict[str, Any], Meta(description="as in a training file.")]
    val: Annotated[dict[str, Any], Meta(description="as in a training file.")]


class Common(Section):
    """A training file without what differs between runs."""

    model_type: Annotated[Literal["RestorationModel"], Meta(description="what trains the networks.")]
    num_gpu: Annotated[Literal["auto"] | Whole, Meta(description="as in a training file.")]
    datasets: Annotated[CommonDatasets, Meta(description="what to train on and to validate with.")]
    network_g: Annotated[dict[str, Any], Meta(description="the network that entries change.")]
    path: Annotated[Paths, Meta(description="files to begin with.")]
    train: Annotated[ComparedTrain, Meta(description="as in a training file, with the schedule `WarmupCosine`.")]
    dist_params: Annotated[DistParams | None, Meta(description="several processes on SLURM.")] = None


class ComparisonFile(Section):
    """A file of `vheatir race`."""

    name: Annotated[str, Meta(description="of the comparison: letters, digits, hyphens and underscores.")]
    common: Annotated[Common, Meta(description="a training file without what differs between runs.")]
    entries: Annotated[dict[str, Any], Meta(description="named changes of `network_g`.")]
    tasks: Annotated[dict[str, Task], Meta(description="named degradations.")]
    seeds: Annotated[list[Whole], Meta(min_length=1, description="of weights and data; each makes a run.")]
    validate_every: Annotated[Positive, Meta(description="seconds of training between validations.")]
