"""What computes: torch, or onnxruntime where there is no torch. Everything around it is NumPy's, and the same."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from vheatir.levels.levels import Levels
from vheatir.weights.file import WeightsHeader

if TYPE_CHECKING:
    from vheatir.inference.network import RestorationNetwork

__all__ = ["Array", "Backend", "BackendName", "Model", "Precision", "make_backend"]

Array = NDArray[np.float32]
BackendName = Literal["auto", "torch", "onnx"]
Precision = Literal["fp32", "bf16", "fp16"]


class Model(Protocol):
    """A trained network where it computes.

    Attributes:
        header: what its weights file says about it.
    """

    header: WeightsHeader

    def restore(self, x: Array, levels: Levels, strength: float) -> Array:
        """Restore images: (B, channels, H, W) in [0, 1] -> the same shape, not clamped; x may be any view.

        Raises:
            RuntimeError, MemoryError: if memory ran out: :func:`vheatir.inference.memory.is_out_of_memory` tells.
        """
        ...

    def estimate(self, x: Array) -> Levels:
        """What a model for "photo" sees in an image, (1, channels, H, W): the mean levels."""
        ...

    def free_bytes(self) -> int:
        """Memory that is free where it computes."""
        ...

    def release(self) -> None:
        """Give memory back that is held for later, after it ran out."""
        ...


class Backend(Protocol):
    """What loads models, and keeps the latest few."""

    def load(self, model: str | Path | RestorationNetwork, image: Any = None) -> Model:
        """Load a bundled name or a weights file, or take a model that is loaded.

        Args:
            model: which.
            image: what it is for; a tensor is restored on its own device, if no other is asked for.

        Raises:
            ValueError: if it is no such name or file (WeightsError), or cannot be computed as asked.
        """
        ...


def make_backend(name: BackendName, *, device: Any, precision: Precision, provider: str | None) -> Backend:
    """Return the backend of that name; "auto" means torch where it is installed.

    Args:
        name: "auto", "torch" or "onnx".
        device: torch's: a name, a device, or None for a tensor's own, else CUDA where there is some, else the CPU.
        precision: torch's arithmetic.
        provider: onnxruntime's execution provider, such as "CUDAExecutionProvider", or "cuda"; None for the CPU.

    Raises:
        ValueError: if there is no such backend, or an option belongs to the other.
        ModuleNotFoundError: if the backend is not installed.
    """
    if name not in ("auto", "torch", "onnx"):
        raise ValueError(f"backend is auto, torch or onnx, not {name!r}.")
    if name == "torch" or (name == "auto" and provider is None and find_spec("torch") is not None):
        if provider is not None:
            raise ValueError("provider belongs to the backend onnx; torch takes a device.")
        from vheatir.inference.backends.torch import TorchBackend

        return TorchBackend(device, precision)
    if precision != "fp32" or str(device) not in ("None", "auto", "cpu"):
        raise ValueError("The backend onnx computes in fp32 on the CPU, or on a provider; give that, or use torch.")
    from vheatir.inference.backends.onnx import OnnxBackend

    return OnnxBackend(provider)
