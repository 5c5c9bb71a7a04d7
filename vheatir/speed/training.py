"""Training steps in turns: forward, loss, backward, clipped gradient, optimizer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import nn

from vheatir.speed.reference import CostError
from vheatir.speed.rows import CHANNELS, ROWS, NetworkRow
from vheatir.speed.timing import Timing, time_interleaved
from vheatir.training.muon import Muon

__all__ = ["TrainingPlan", "measure_training", "training_step"]

_SHORTEST: Final = 0.5
#: of the Charbonnier loss, as in the option files
_EPSILON: Final = 1e-9


@dataclass(frozen=True)
class TrainingPlan:
    """What is measured.

    Attributes:
        rows: names of networks.
        batch: crops in a step.
        crop: side of a crop in pixels.
        precision: arithmetic of the network; loss and optimizer are float32.
        optimizer: Muon for matrices and AdamW for the rest, or AdamW for all.
        compile: compile the networks.
        rounds: measurements of each.
        limit: seconds for each row; its first step is made in any case.
        device: where it computes.
    """

    rows: Sequence[str]
    batch: int
    crop: int
    precision: Literal["fp32", "bf16"]
    optimizer: Literal["Muon", "AdamW"]
    compile: bool
    rounds: int
    limit: float
    device: torch.device


def measure_training(plan: TrainingPlan) -> dict[str, Timing]:
    """Seconds of a step by row.

    Raises:
        CostError: if a row is no network, or needs BasicSR where it is not installed.
    """
    steps = {row: training_step(row, plan) for row in plan.rows}
    return time_interleaved(steps, rounds=plan.rounds, limit=plan.limit, shortest=_SHORTEST)


def training_step(name: str, plan: TrainingPlan) -> Callable[[], object]:
    """Make the call that does one step on a fixed batch of random crops, as training does.

    Raises:
        CostError: as :func:`measure_training`.
    """
    row = ROWS[name]
    if not isinstance(row, NetworkRow):
        raise CostError(f"Row {name} is no network that can be trained.")
    row.prepare()
    generator = torch.Generator().manual_seed(0)
    shape = (plan.batch, CHANNELS, plan.crop, plan.crop)
    degraded, clean = (torch.rand(shape, generator=generator).to(plan.device) for _ in range(2))
    level = torch.rand(plan.batch, generator=generator).to(plan.device)
    network = row.make().to(plan.device)
    if not row.is_swinir:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if plan.compile:
        network.compile()
    make = Muon if plan.optimizer == "Muon" else torch.optim.AdamW
    optimizer = make(network.parameters(), lr=1e-4, weight_decay=0.0, betas=(0.9, 0.99))

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(plan.device.type, dtype=torch.bfloat16, enabled=plan.precision == "bf16"):
            restored = network(degraded, level)
        loss = torch.sqrt((restored.float() - clean).square() + _EPSILON).mean()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 0.5)
        optimizer.step()
        if plan.device.type == "cuda":
            torch.cuda.synchronize(plan.device)

    return step
