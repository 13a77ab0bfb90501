"""Which library multiplies matrices on a CPU, in full float32.

Torch sends products to MKL, which takes a generic path on processors of AMD: 90 to 100 GFLOP/s a core against 180 to
200 for oneDNN, measured on Zen 5. oneDNN adds the bias and takes the ReLU in the same pass, and is as fast as MKL on
processors of Intel but for one shape: the products that give the gradients of weights, which are short and wide, took
it a fifth longer there. So those go to the faster of the two, found by trying; the environment variable
ROFTMOL_PRODUCTS (torch, onednn) decides instead where it is set. oneDNN is reached through the operator that
torch.compile uses.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from roftmol.errors import UserError

Outer = Callable[[Tensor, Tensor], Tensor]

ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
#: oneDNN has to be so much faster than MKL: a choice between equals would differ from run to run, and with it the last
#: bits of all results.
MARGIN = 1.3
#: What is tried: rows, inputs and outputs as in training the usual network on a batch of 32 molecules.
TRIED = (768, 300, 600)
#: The largest error against float64, relative to the largest entry.
TOLERANCE = 1e-5


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None, relu: bool = False) -> Tensor:
    """`x weight^T + bias`, or its ReLU: n x i, o x i, o -> n x o."""
    if ONEDNN:
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "relu" if relu else "none", [], "")
    y = F.linear(x, weight, bias)
    return y.relu_() if relu else y


def outer_by_torch(y: Tensor, x: Tensor) -> Tensor:
    """`y^T x`: n x o, n x i -> o x i."""
    return y.t() @ x


def outer_by_onednn(y: Tensor, x: Tensor) -> Tensor:
    """`y^T x`: n x o, n x i -> o x i."""
    return product(y.t(), x.t())


@cache
def outer() -> Outer:
    """How this process takes `y^T x`, by a trial of a hundredth of a second when it is first asked for.

    Raises `UserError` if ROFTMOL_PRODUCTS names neither way, or one that this build of torch does not have.
    """
    ways = {"torch": outer_by_torch, **({"onednn": outer_by_onednn} if ONEDNN else {})}
    if wanted := os.environ.get("ROFTMOL_PRODUCTS"):
        if wanted not in ways:
            raise UserError(f"ROFTMOL_PRODUCTS={wanted!r}: choose {' or '.join(ways)}, or unset it")
        return ways[wanted]
    if not ONEDNN:
        return outer_by_torch
    random = torch.Generator().manual_seed(0)
    rows, inputs, outputs = TRIED
    x, y = (torch.randn(rows, width, generator=random) for width in (inputs, outputs))
    seconds = {name: _seconds(way, y, x) for name, way in ways.items()}
    better = seconds["onednn"] * MARGIN < seconds["torch"] and _error(outer_by_onednn, y, x) < TOLERANCE
    chosen = "onednn" if better else "torch"
    tried = ", ".join(f"{name} {value * 1e3:.1f} ms" for name, value in seconds.items())
    print(f"gradients of weights by {chosen} ({tried})", file=sys.stderr)
    return ways[chosen]


def _seconds(way: Outer, y: Tensor, x: Tensor) -> float:
    """The shortest of a few trials."""
    taken = []
    for _ in range(5):
        start = time.perf_counter()
        way(y, x)
        taken.append(time.perf_counter() - start)
    return min(taken)


def _error(way: Outer, y: Tensor, x: Tensor) -> float:
    """The largest error against float64, relative to the largest entry."""
    exact = y.double().t() @ x.double()
    return float((way(y, x) - exact).abs().max() / exact.abs().max())
