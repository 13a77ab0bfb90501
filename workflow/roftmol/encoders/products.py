"""Which library multiplies matrices on a CPU: the faster of those that torch brings, found by trying.

Torch sends float32 products to MKL, which takes a generic path on processors of AMD: 90 to 100 GFLOP/s a core against
180 to 200 for oneDNN, measured on Zen 5. On a processor of Intel the two were alike, but oneDNN prepares a kernel for
every number of rows, which took a step 6% longer. oneDNN is reached through the operator that torch.compile uses; both
are full float32. The environment variable ROFTMOL_PRODUCTS (torch, onednn, bfloat16) decides where it is set.

bfloat16 is never found by trying, since it is another result: factors and products keep 8 bits, sums are float32, as in
usual mixed precision. It is for long pretraining on processors with instructions for it: 160 to 200 GFLOP/s against 80
on a core of an AMD EPYC of 2026.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from roftmol.core.errors import UserError

#: So many times as fast oneDNN has to be. A choice that differs from process to process would change the last bits of
#: results, so the margin lies far from what either kind of processor shows (0.9 and 2).
MARGIN = 1.5
#: So many trials' median counts. Each trial compares both in turn, and time is the thread's own: other work on the
#: machine moves the ratio little.
TRIALS = 7
#: What is tried: rows, inputs and outputs as in training the usual network on a batch of 32 molecules.
TRIED = (768, 300, 600)
#: The largest error against float64, relative to the largest entry.
TOLERANCE = 1e-5
#: oneDNN keeps half a megabyte for every number of rows that it has seen, so rows are filled up to a multiple of this.
ROWS = 64


@dataclass(frozen=True)
class Backend:
    """One way to multiply."""

    name: str
    product: Callable[[Tensor, Tensor, Tensor | None, bool], Tensor]  #: x weight^T + bias, or its ReLU
    outer: Callable[[Tensor, Tensor], Tensor]  #: y^T x, of n x o and n x i: o x i


def _torch_product(x: Tensor, weight: Tensor, bias: Tensor | None, relu: bool) -> Tensor:
    # Not addmm, which copies the bias into every row first.
    y = x @ weight.t()
    if bias is not None:
        y.add_(bias)
    return y.relu_() if relu else y


def _torch_outer(y: Tensor, x: Tensor) -> Tensor:
    return y.t() @ x


def _onednn_product(x: Tensor, weight: Tensor, bias: Tensor | None, relu: bool) -> Tensor:
    rows = len(x)
    x = F.pad(x, (0, 0, 0, -rows % ROWS))
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "relu" if relu else "none", [], "")[:rows]


def _onednn_outer(y: Tensor, x: Tensor) -> Tensor:
    fill = (0, 0, 0, -len(x) % ROWS)
    return torch.ops.mkldnn._linear_pointwise(F.pad(y, fill).t(), F.pad(x, fill).t(), None, "none", [], "")


def _bfloat16_product(x: Tensor, weight: Tensor, bias: Tensor | None, relu: bool) -> Tensor:
    y = (x.bfloat16() @ weight.bfloat16().t()).float()
    if bias is not None:
        y.add_(bias)
    return y.relu_() if relu else y


def _bfloat16_outer(y: Tensor, x: Tensor) -> Tensor:
    return (y.bfloat16().t() @ x.bfloat16()).float()


TORCH = Backend("torch", _torch_product, _torch_outer)
ONEDNN = Backend("onednn", _onednn_product, _onednn_outer)
#: What this build of torch has.
BACKENDS = {TORCH.name: TORCH}
if torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
    BACKENDS[ONEDNN.name] = ONEDNN
#: Less exact, so only for those who ask for it.
BFLOAT16 = Backend("bfloat16", _bfloat16_product, _bfloat16_outer)


@cache
def chosen() -> Backend:
    """Return the backend of this process; the first call finds it by a trial of a few hundredths of a second.

    Raises `UserError` if ROFTMOL_PRODUCTS names none that this build of torch has.
    """
    if name := os.environ.get("ROFTMOL_PRODUCTS"):
        backends = BACKENDS | {BFLOAT16.name: BFLOAT16}
        if name not in backends:
            raise UserError(f"ROFTMOL_PRODUCTS={name!r}: choose {' or '.join(backends)}, or unset it")
        return backends[name]
    if ONEDNN.name not in BACKENDS:
        return TORCH
    rows, inputs, outputs = TRIED
    random = torch.Generator().manual_seed(0)
    x, y = (torch.randn(rows, width, generator=random) for width in (inputs, outputs))
    weight = torch.randn(outputs, inputs, generator=random)
    exact = _error(ONEDNN, x, y, weight) < TOLERANCE  # also the first product of each, which prepares kernels
    trials = [[_seconds(backend, x, y, weight) for backend in (TORCH, ONEDNN)] for _ in range(TRIALS)]
    ratio = statistics.median(torch_took / onednn_took for torch_took, onednn_took in trials)
    backend = ONEDNN if exact and ratio > MARGIN else TORCH
    print(f"matrix products by {backend.name} (oneDNN is {ratio:.2f} times as fast as torch)", file=sys.stderr)
    return backend


def _seconds(backend: Backend, x: Tensor, y: Tensor, weight: Tensor) -> float:
    """Return the CPU seconds of one product forward and two backward."""
    start = time.thread_time()
    backend.product(x, weight, None, False)
    backend.product(y, weight.t(), None, False)
    backend.outer(y, x)
    return time.thread_time() - start


def _error(backend: Backend, x: Tensor, y: Tensor, weight: Tensor) -> float:
    """Return the largest error against float64, relative to the largest entry."""
    pairs = (
        (backend.product(x, weight, None, False), x.double() @ weight.double().t()),
        (backend.outer(y, x), y.double().t() @ x.double()),
    )
    return max(float((product - exact).abs().max() / exact.abs().max()) for product, exact in pairs)
