"""Importing torchvision beside a torch that it was not built for.

A CPU build of torch beside a torchvision built for CUDA: torchvision's own compiled operators do not load, and its
import fails with "operator torchvision::nms does not exist" unless nms and qnms have been declared. What this project
needs of torchvision (BasicSR's and LPIPS's imports, AlexNet) uses neither.
"""

from __future__ import annotations

import sys

import torch

__all__ = ["mend_torchvision"]

# keeps the declarations alive: a library's operators vanish with it
_DECLARATIONS = torch.library.Library("torchvision", "FRAGMENT")


def mend_torchvision() -> None:
    """Import torchvision; where its compiled operators cannot be loaded, declare nms and qnms.

    Raises:
        ImportError: if torchvision is not installed.
    """
    try:
        import torchvision
    except (RuntimeError, ImportError):
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        for operator in ("nms", "qnms"):
            _DECLARATIONS.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision  # noqa: F401
