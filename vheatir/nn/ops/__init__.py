"""Heat conduction: transforms, decay, learned conductivity, and the operator made of them."""

from __future__ import annotations

from vheatir.nn.ops.cache import TensorCache
from vheatir.nn.ops.chunks import in_chunks
from vheatir.nn.ops.conductivity import (
    Conductivity,
    FrequencyValueEmbedding,
    interpolate_spectrum,
    log_spaced_conductivity,
)
from vheatir.nn.ops.dct import dct2, dct_basis, idct2
from vheatir.nn.ops.heat import heat_conduction, heat_decay, squared_frequencies
from vheatir.nn.ops.inplace import add_into
from vheatir.nn.ops.linear import Linear
from vheatir.nn.ops.operator import HeatConduction2d
from vheatir.nn.ops.spectrum import LowSpectrum, kept_frequencies
from vheatir.nn.ops.windows import (
    count_windows,
    cut_windows,
    extend_by_edges,
    join_windows,
    merge_windows,
    split_windows,
    take_inner,
)

__all__ = [
    "Conductivity",
    "FrequencyValueEmbedding",
    "HeatConduction2d",
    "Linear",
    "LowSpectrum",
    "TensorCache",
    "add_into",
    "count_windows",
    "cut_windows",
    "dct2",
    "dct_basis",
    "extend_by_edges",
    "heat_conduction",
    "heat_decay",
    "idct2",
    "in_chunks",
    "interpolate_spectrum",
    "join_windows",
    "kept_frequencies",
    "log_spaced_conductivity",
    "merge_windows",
    "split_windows",
    "squared_frequencies",
    "take_inner",
]
