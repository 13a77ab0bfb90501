"""The two ways to run the benchmark, as fields that the stages read.

`paper` follows the released scripts so that numbers compare; `honest` mends what flatters or disturbs them: every label
used counts towards the budget, frozen means frozen, targets are standardised, penalties do not depend on the batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

#: How far the learning rate of the MFT paper (arXiv 2601.08486) falls, exponentially: from 1e-3 to 1e-5.
RATE_FALL = 0.01


@dataclass(frozen=True)
class Protocol:
    """What differs between the protocols after the split."""

    name: str
    freeze_fully: bool  # frozen parts in eval mode: no dropout, BatchNorm statistics stay
    standardise: bool  # regression targets by the training labels' mean and deviation
    root_loss: bool  # regression loss is the batch's RMSE, not its MSE
    normalise_penalties: bool  # penalties that sum over a batch are divided by its size
    stop_early: bool  # stop when validation has not improved for `patience` epochs
    estimate_norm: bool  # BatchNorm statistics of trained and of mixed weights are estimated on training molecules
    keep_start: bool  # the start of a later stage is a candidate for its best epoch
    crossfit_mixing: bool  # learned mixing: within [0, 1], its steps chosen by cross-validation, the start a candidate
    mixing_steps: int  # the most steps (cross-fitted) or epochs for learned coefficients
    mixing_rate: float  # Adam's rate for learned coefficients
    pair_maps: bool  # feature-map's Z_0 under the dropout and batch statistics of its Z, not in eval mode
    train_norms: bool  # where some parts train alone, BatchNorm's weight and bias train with theirs
    decay_head: bool  # every penalty draws the head to zero with its own strength
    clip_values: float  # under a penalty, gradients are cut to this size, number by number
    mixing_batch: int  # molecules a step of learned mixing where it is not cross-fitted, which takes all at once
    rate_end_in_space: float  # models of atoms in space: what share of the learning rate is left at a fit's end
    clip_in_space: float  # models of atoms in space: the largest norm of any step's gradient


PROTOCOLS = {
    "paper": Protocol(
        name="paper",
        freeze_fully=False,
        standardise=False,
        root_loss=True,
        normalise_penalties=False,
        stop_early=False,
        estimate_norm=False,
        keep_start=False,
        crossfit_mixing=False,
        mixing_steps=200,
        mixing_rate=1e-3,
        pair_maps=False,
        train_norms=False,
        decay_head=True,
        clip_values=10.0,
        mixing_batch=32,
        rate_end_in_space=RATE_FALL,
        clip_in_space=5.0,
    ),
    "honest": Protocol(
        name="honest",
        freeze_fully=True,
        standardise=True,
        root_loss=False,
        normalise_penalties=True,
        stop_early=True,
        estimate_norm=True,
        keep_start=True,
        crossfit_mixing=True,
        mixing_steps=25,
        mixing_rate=0.08,
        pair_maps=True,
        train_norms=True,
        decay_head=False,
        clip_values=math.inf,
        mixing_batch=0,
        rate_end_in_space=1.0,
        clip_in_space=math.inf,
    ),
}
