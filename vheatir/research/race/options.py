"""The option file of a race: every key, its type and meaning.

What is left out of ``common`` is filled in for every run, which is then checked as a training file.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from vheatir.training.options.schema import ComparedTrain, DistParams, Paths
from vheatir.training.options.sections import Positive, Section, Whole

__all__ = ["ComparisonFile"]


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
    """A file of `python -m vheatir.research.race`."""

    name: Annotated[str, Meta(description="of the comparison: letters, digits, hyphens and underscores.")]
    common: Annotated[Common, Meta(description="a training file without what differs between runs.")]
    entries: Annotated[dict[str, Any], Meta(description="named changes of `network_g`.")]
    tasks: Annotated[dict[str, Task], Meta(description="named degradations.")]
    seeds: Annotated[list[Whole], Meta(min_length=1, description="of weights and data; each makes a run.")]
    validate_every: Annotated[Positive, Meta(description="seconds of training between validations.")]
