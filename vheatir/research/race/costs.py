"""What each entry of a comparison costs: parameters, multiply-adds, time, memory; and how far it looks.

A file of costs is one JSON object: ``format`` ("vheatir-compare-costs"), ``format_version`` (1), ``size`` (side of the
image), ``environment`` and ``costs``, the fields of :class:`Cost`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from vheatir.evaluation.environment import Environment, describe_environment
from vheatir.evaluation.record_file import RecordFormat
from vheatir.nn import VHeatIR
from vheatir.nn.complexity import count_parameters, image_multiply_adds
from vheatir.nn.cpu import fast_on_cpu
from vheatir.research.race.curve import CompareError
from vheatir.research.race.receptive import influence, receptive_sides
from vheatir.speed.process import peak_memory
from vheatir.speed.timing import Timing, time_interleaved

__all__ = ["COSTS_FILE", "Cost", "Costs", "costs_markdown", "costs_table", "measure_costs"]

_CPU: Final = torch.device("cpu")
_ROUNDS: Final = 9
_SECONDS_A_ROW: Final = 60.0
_SHORTEST: Final = 0.2
_LONGEST_PROCESS: Final = 600.0
_SHARES: Final = (0.5, 0.9, 0.99)


@dataclass(frozen=True)
class Cost:
    """What one entry costs.

    Attributes:
        entry: its name.
        parameters: trainable values.
        multiply_adds_per_pixel: of one image.
        call: seconds to restore one image.
        peak_bytes: memory that building the network and restoring one image need; None where the system does not tell.
        trained: the receptive field is that of trained weights, not of random ones.
        receptive: sides of the squares that hold 50, 90 and 99 % of the gradient, in pixels of the image.
    """

    entry: str
    parameters: int
    multiply_adds_per_pixel: float
    call: Timing
    peak_bytes: int | None
    trained: bool
    receptive: Sequence[int]


@dataclass(frozen=True)
class Costs:
    """What all entries cost, on square images of one size."""

    size: int
    environment: Environment
    costs: Sequence[Cost]


COSTS_FILE: Final = RecordFormat(Costs, "vheatir-compare-costs", 1, "file of costs", "measure again", CompareError)


def measure_costs(networks: Mapping[str, Mapping[str, Any]], weights: Mapping[str, Path], *, size: int) -> Costs:
    """Measure on this machine's CPU, with torch's number of threads, the entries in turns.

    Args:
        networks: arguments of :class:`vheatir.nn.VHeatIR` by entry.
        weights: checkpoints of trained entries, for the receptive field.
        size: side of the image in pixels.

    Raises:
        CompareError: if a process that measures memory fails.
    """
    made = {entry: _build(arguments) for entry, arguments in networks.items()}
    calls = {entry: _call(network, size) for entry, network in made.items()}
    timings = time_interleaved(calls, rounds=_ROUNDS, limit=_SECONDS_A_ROW, shortest=_SHORTEST)
    costs = []
    for entry, network in made.items():
        trained = entry in weights
        if trained:
            _load(network, weights[entry])
        field = influence(network, network.config.in_chans, size)
        costs.append(
            Cost(
                entry=entry,
                parameters=count_parameters(network),
                multiply_adds_per_pixel=image_multiply_adds(network, size, size) / size**2,
                call=timings[entry],
                peak_bytes=_peak_of_process(networks[entry], size),
                trained=trained,
                receptive=receptive_sides(field, _SHARES),
            )
        )
    return Costs(size, describe_environment(_CPU), costs)


def costs_table(file: Path) -> str:
    """A file of costs as Markdown, for pages.

    Raises:
        CompareError: if it cannot be used.
    """
    return costs_markdown(COSTS_FILE.read(file))


def costs_markdown(measured: Costs) -> str:
    """Lay out the costs as one table."""
    size = measured.size
    heading = (
        "| | parameters | multiply-adds a pixel | seconds a megapixel | peak memory, MB "
        "| receptive field, px: 50 % / 90 % / 99 % of the gradient | weights |"
    )
    lines = [
        f"Machine: {measured.environment}. Images of {size} x {size}; seconds of one call, median of the rounds.",
        "",
        heading,
        "|---|---|---|---|---|---|---|",
    ]
    for cost in measured.costs:
        memory = "–" if cost.peak_bytes is None else f"{cost.peak_bytes / 1e6:,.0f}"
        lines.append(
            f"| `{cost.entry}` | {cost.parameters / 1e6:.3f} M | {cost.multiply_adds_per_pixel / 1e3:,.1f} k "
            f"| {cost.call.median / (size**2 / 1e6):#.3g} | {memory} | {' / '.join(map(str, cost.receptive))} "
            f"| {'trained' if cost.trained else 'random'} |"
        )
    return "\n".join(lines) + "\n"


def _build(arguments: Mapping[str, Any]) -> VHeatIR:
    """A network whose last convolution is not zero, as it is at the start: with zero nothing would act on anything."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = VHeatIR(**arguments).eval()
        nn.init.normal_(network.conv_last.weight, std=0.02)
    return fast_on_cpu(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _load(network: VHeatIR, checkpoint: Path) -> None:
    from vheatir.training.checkpoint import read_tensors

    network.load_state_dict(read_tensors(checkpoint, "params_ema"))


def _call(network: VHeatIR, size: int) -> Callable[[], Tensor]:
    x, level = (
        torch.rand(1, network.config.in_chans, size, size, generator=torch.Generator().manual_seed(0)),
        torch.zeros(1),
    )

    @torch.inference_mode()
    def call() -> Tensor:
        restored: Tensor = network(x, level)
        return restored

    return call


def _peak_of_process(arguments: Mapping[str, Any], size: int) -> int | None:
    """Peak memory of a process that builds the network and restores one image."""
    command = [sys.executable, "-m", "vheatir.research.race.costs", json.dumps(dict(arguments)), str(size)]
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=_LONGEST_PROCESS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise CompareError(
            f"Measuring memory took more than {_LONGEST_PROCESS:.0f} s; take a smaller --size."
        ) from error
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        reason = lines[-1] if lines else f"ended by signal {-done.returncode}"
        raise CompareError(f"Measuring memory failed: {reason}")
    peak: int | None = json.loads(done.stdout)["peak_bytes"]
    return peak


def main() -> None:
    """Measure the memory of one call in this process and print it."""
    arguments, size = json.loads(sys.argv[1]), int(sys.argv[2])
    peak = peak_memory(lambda: _call(_build(arguments), size)(), _CPU)
    sys.stdout.write(json.dumps({"peak_bytes": peak}) + "\n")


if __name__ == "__main__":
    main()
