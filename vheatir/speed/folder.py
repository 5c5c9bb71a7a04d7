"""``vheatir restore`` on a folder of photos: the seconds of the whole process, and those of its network calls.

    python -m vheatir.speed.folder ARGUMENTS...

runs ``vheatir restore`` with these arguments and, as its last line, prints ``{"network": seconds}``.
"""

from __future__ import annotations

import json
import math
import runpy
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vheatir.inference.network import RestorationNetwork
from vheatir.speed.reference import CostError
from vheatir.speed.report import FolderRun

__all__ = ["measure_folder"]


def measure_folder(*, photos: int, megapixels: float, rounds: int, threads: int) -> FolderRun:
    """Restore noisy photos by the command, as a process of its own.

    Args:
        photos: their number.
        megapixels: of each, at 4 : 3.
        rounds: times that the folder is restored.
        threads: torch's.

    Raises:
        CostError: if the command fails.
    """
    height = round(math.sqrt(megapixels * 1e6 * 3 / 4))
    width = round(height * 4 / 3)
    with tempfile.TemporaryDirectory(prefix="vheatir-") as name:
        folder = Path(name)
        (folder / "in").mkdir()
        for index in range(photos):
            cv2.imwrite(str(folder / "in" / f"{index}.png"), _photo(height, width, index))
        runs = [_run(folder / "in", folder / f"out{index}", threads) for index in range(rounds)]
    process, network = zip(*runs, strict=True)
    return FolderRun(photos=photos, width=width, height=height, process=process, network=network)


def _photo(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """Smooth colours with noise of σ 25: as costly to read and to write as a noisy photo."""
    rng = np.random.default_rng(seed)
    smooth = cv2.resize(rng.uniform(32, 224, (6, 8, 3)), (width, height), interpolation=cv2.INTER_CUBIC)
    noisy = np.clip(np.rint(smooth + rng.normal(0, 25, smooth.shape)), 0, 255)
    return np.asarray(noisy, dtype=np.uint8)


def _run(source: Path, target: Path, threads: int) -> tuple[float, float]:
    """Seconds of the process, and of the network within it."""
    options = ["--task", "denoise", "--sigma", "25", "--device", "cpu", "--quiet"]
    command = [sys.executable, "-m", "vheatir.speed.folder", str(threads), *options, str(source), str(target)]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode != 0:
        raise CostError(f"vheatir restore failed: {done.stderr.strip()}")
    return seconds, float(json.loads(done.stdout.splitlines()[-1])["network"])


def main() -> None:
    """Run the command with its network calls timed; it ends this process with its exit code."""
    torch.set_num_threads(int(sys.argv[1]))
    forward = RestorationNetwork.forward
    seconds = 0.0

    def timed(self: RestorationNetwork, x: Tensor, **levels: float | None) -> Tensor:
        nonlocal seconds
        start = time.perf_counter()
        restored = forward(self, x, **levels)  # type: ignore[arg-type]  # as the restorer calls it
        seconds += time.perf_counter() - start
        return restored

    RestorationNetwork.forward = timed  # type: ignore[method-assign,assignment]
    sys.argv = ["vheatir", "restore", *sys.argv[2:]]
    try:
        runpy.run_module("vheatir", run_name="__main__")
    finally:
        sys.stdout.write(json.dumps({"network": seconds}) + "\n")


if __name__ == "__main__":
    main()
