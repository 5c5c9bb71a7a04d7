"""Models in onnxruntime, for which nobody needs torch: graphs that read the weights file beside them."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime

from vheatir.inference.backends import Array
from vheatir.inference.memory import free_bytes
from vheatir.levels.levels import Levels, told_levels
from vheatir.system.threads import chosen_threads
from vheatir.weights.file import WeightsError, estimate_path, graph_path, layout_hash, read_header, weights_path

__all__ = ["OnnxBackend", "OnnxModel"]

_CPU: Final = "CPUExecutionProvider"


class OnnxBackend:
    """Loads models for onnxruntime.

    Args:
        provider: name of an execution provider, "CUDAExecutionProvider" or "cuda"; None for the CPU. What a provider
            cannot compute goes to the CPU.

    Raises:
        ValueError: if this onnxruntime has no such provider.
    """

    def __init__(self, provider: str | None) -> None:
        known = {name.removesuffix("ExecutionProvider").lower(): name for name in onnxruntime.get_available_providers()}
        short = (provider or "cpu").removesuffix("ExecutionProvider").lower()
        if short not in known:
            raise ValueError(
                f"This onnxruntime has no provider {provider}; it has {', '.join(known)}. Others come with packages in "
                "its place: onnxruntime-gpu, onnxruntime-directml, onnxruntime-openvino."
            )
        self._providers = tuple(dict.fromkeys((known[short], _CPU)))

    def load(self, model: Any, image: Any = None) -> OnnxModel:
        """Load a bundled name, or a weights file that has a graph beside it."""
        del image  # a tensor comes from any device
        if not isinstance(model, str | Path):
            raise ValueError("A loaded model is torch's; give its name or file to the backend onnx.")
        return OnnxModel(weights_path(model), self._providers)


class OnnxModel:
    """Weights with their graphs; sessions are made at first need, and the latest few are kept.

    Raises:
        WeightsError: if the weights file is not one of ours.
    """

    def __init__(self, weights: Path, providers: tuple[str, ...]) -> None:
        self.header = read_header(weights)
        self._weights = weights.absolute()
        self._providers = providers

    def restore(self, x: Array, levels: Levels, strength: float) -> Array:
        told = told_levels(self.header, {"sigma": levels.sigma, "quality": levels.quality})
        feeds: dict[str, float] = {name: -1.0 if value is None else value for name, value in told.items()}
        if self.header.task == "photo":
            feeds["strength"] = strength
        return self._run(graph_path(self._weights), ["restored"], x, feeds)[0]

    def estimate(self, x: Array) -> Levels:
        names = ["estimated_sigma", "estimated_quality"]
        sigma, quality = self._run(estimate_path(self._weights), names, x, {})
        return Levels(sigma=float(sigma[0]), quality=float(quality[0]))

    def free_bytes(self) -> int:
        return free_bytes()

    def release(self) -> None:
        """Nothing is held."""

    def _run(self, graph: Path, outputs: list[str], x: Array, told: dict[str, float]) -> list[Array]:
        session = _session(graph, self._weights, self._weights.stat().st_mtime_ns, self._providers, os.getpid())
        numbers = {name: np.full(len(x), value, np.float32) for name, value in told.items()}
        try:
            results: list[Array] = session.run(outputs, {"image": np.ascontiguousarray(x), **numbers})
        except Exception as error:  # of a class of its own for each status
            _refuse_full_memory(error)
            raise
        return results


def _refuse_full_memory(error: Exception) -> None:
    if "allocate memory" in str(error) or "bad_alloc" in str(error):
        raise MemoryError(str(error)) from None


@lru_cache(maxsize=4)
def _session(
    graph: Path, weights: Path, stamp: int, providers: tuple[str, ...], process: int
) -> onnxruntime.InferenceSession:
    """A session of this process: a forked one has none of its parent's threads, and would wait for them without end.

    Raises:
        WeightsError: if there is no graph, a damaged one, or one of other weights.
        ValueError: if the provider cannot be used.
        MemoryError: if memory ran out.
    """
    del stamp, process  # part of the key only
    renew = f"write it, where torch is installed, by: vheatir export --format graph {graph_path(weights)}"
    if not graph.is_file():
        raise WeightsError(f"{weights} has no graph {graph.name} beside it; {renew}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = chosen_threads()
    options.log_severity_level = 3  # errors
    try:
        session = onnxruntime.InferenceSession(str(graph), options, providers=list(providers))
    except Exception as error:  # of a class of its own for each status
        _refuse_full_memory(error)
        if providers[0] != _CPU:
            raise ValueError(f"{providers[0]} cannot be used: {error}; leave --provider out for the CPU.") from error
        raise WeightsError(f"{graph} is damaged, or of weights of another name; {renew}") from error
    if providers[0] not in session.get_providers():  # onnxruntime tells nobody that it fell back
        raise ValueError(f"{providers[0]} could not be started on this machine; leave --provider out for the CPU.")
    if session.get_modelmeta().custom_metadata_map.get("weights") != layout_hash(weights):
        raise WeightsError(f"{graph} is the graph of other weights; {renew}")
    return session
