"""What stands between two mixers: an MLP at every position, or HcNet's refinement, which looks at its neighbours."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from vheatir.nn.ops import Linear

__all__ = ["MlpKind", "make_mlp"]

MlpKind = Literal["mlp", "refinement"]


def make_mlp(kind: MlpKind, dim: int, hidden: int) -> nn.Sequential:
    """Make the second half of a block, which the block adds to its input.

    * ``"mlp"``: Linear, GELU, Linear.
    * ``"refinement"``: Linear, GELU, depthwise 3 x 3 convolution, Linear: the refinement approximation layer of HcNet
      (arXiv 2408.05901, equation 14), whose residual is the block's; the convolution without bias as in its code.

    Args:
        kind: which.
        dim: C.
        hidden: width between the linear maps.

    Raises:
        ValueError: if there is no such kind.
    """
    if kind == "mlp":
        return nn.Sequential(Linear(dim, hidden), nn.GELU(), Linear(hidden, dim))
    if kind == "refinement":
        return nn.Sequential(Linear(dim, hidden), nn.GELU(), _DepthwiseConv(hidden), Linear(hidden, dim))
    raise ValueError(f'mlp is "mlp" or "refinement", not {kind!r}.')


class _DepthwiseConv(nn.Conv2d):
    """Depthwise 3 x 3 convolution of channels-last maps (B, H, W, C)."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim, dim, 3, padding=1, groups=dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
