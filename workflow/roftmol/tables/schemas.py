"""Every table of the workflow: its columns, their types, and its version.

A stage writes its tables with :func:`write` and reads others' with :func:`read`; both check the schema, so a column
that is missing, misspelt or of another type is found where it arises. Rows are self-describing: a run's table carries
the whole identity of its run, so tables of many runs concatenate.

A file's metadata says of the whole table what made it: `roftmol.table`, `roftmol.version`, and as in `ORIGIN`
`roftmol.code`, `.configuration` (of the settings of the stage), `.environment`, `.software` and `.host`;
`roftmol.source` is the SHA-256 of the source file, for molecules and conformers. :func:`marks` reads them. No mark
tells a time, so the same configuration and code give the same bytes on machines of one kind. What varies from run to
run stands in columns alone: the tables "fits" and "timings" are about time and origin, and `wall_seconds` of "summary"
and `cpu_seconds` of "ranking" sum theirs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from roftmol.core.errors import UserError
from roftmol.core.files import atomic, sha256
from roftmol.core.paths import COMPARED
from roftmol.core.run_origin import origin

VERSION = 4

#: The identity of a cell of the benchmark. `budget` is the number of labels as text, or "all".
CELL = {
    "protocol": pa.string(),
    "model": pa.string(),
    "dataset": pa.string(),
    "split": pa.string(),
    "budget": pa.string(),
    "method": pa.string(),
}
#: A run is a cell with a seed and a setting (the method's hyper-parameters as canonical JSON, "{}" for none).
RUN = {**CELL, "setting": pa.string(), "seed": pa.int32()}
#: What a fit was made with: the fields of `machine.Origin`, "" in fits that were finished before they were recorded.
#: `configuration` is the digest of what a fit was told beside the columns that identify it: training, task and metric.
#: `environment` is the digest of `software` (versions, threads, library of matrix products) and `host` (the models of
#: processor and accelerator, no machine's name).
ORIGIN = {name: pa.string() for name in ("code", "configuration", "environment", "software", "host")}
#: What is compared together in the statistics: the data sets of one protocol, encoder, split, budget and metric.
FAMILY = {**{name: CELL[name] for name in ("protocol", "model", "split", "budget")}, "metric": pa.string()}

SCHEMAS: dict[str, pa.Schema] = {
    # The molecules that are kept, in the order of the source file. `molecule` is the position here, used everywhere
    # after; `row` is the record's 0-based position in the source file. `labels` has one entry a task, NaN if missing.
    "molecules": pa.schema(
        {
            "dataset": pa.string(),
            "molecule": pa.int32(),
            "row": pa.int64(),
            "smiles": pa.string(),
            "canonical": pa.string(),
            "scaffold": pa.string(),
            "atoms": pa.int32(),  # nodes of the graph: heavy atoms, and the few hydrogens that RDKit keeps
            "group": pa.string(),  # the value of a user's split column, "" where there is none
            "labels": pa.list_(pa.float32()),
        }
    ),
    # Every record about which there is something to say: `action` is "dropped" or "kept".
    "rejects": pa.schema(
        {
            "dataset": pa.string(),
            "row": pa.int64(),
            "smiles": pa.string(),
            "reason": pa.string(),  # one of molecules.REASONS
            "detail": pa.string(),
            "action": pa.string(),
        }
    ),
    # One row a label column. `positives` counts label 1 and is null for regression.
    "tasks": pa.schema(
        {
            "dataset": pa.string(),
            "task": pa.int32(),
            "name": pa.string(),
            "kind": pa.string(),  # "classification" or "regression"
            "labelled": pa.int64(),
            "positives": pa.int64(),
            "mean": pa.float64(),
            "std": pa.float64(),
        }
    ),
    # The geometry of each molecule, one row for each of "molecules" and in their order, where the data set has any.
    "conformers": pa.schema(
        {
            "dataset": pa.string(),
            "molecule": pa.int32(),
            "numbers": pa.list_(pa.int8()),  # atomic numbers, hydrogens included
            "positions": pa.list_(pa.float32()),  # x, y and z of each atom in turn, in A
        }
    ),
    # The molecules of a pretraining corpus that RDKit can read; `row` is the position in its files, `canonical` as in
    # "molecules", `labels` has one entry a label column of the registry.
    "corpora": pa.schema(
        {
            "corpus": pa.string(),
            "row": pa.int64(),
            "smiles": pa.string(),
            "canonical": pa.string(),
            "labels": pa.list_(pa.float32()),
        }
    ),
    # What a recipe is pretrained on: `labels` has one entry a task, NaN where the molecule's corpus does not give it.
    "pretraining": pa.schema({"smiles": pa.string(), "labels": pa.list_(pa.float32())}),
    # `role` is "train", "valid" or "test", or in split "boom", whose "test" is out of distribution, "test_id": the test
    # within it. Molecules without a role in that seed and fold are not listed. The rows of a role stand in the order in
    # which the split lists them: in protocol "paper" the published one, in "honest" that of the file.
    # `fold` is 0 for a hold-out, 0..k-1 for cross-fitting.
    "splits": pa.schema(
        {
            "protocol": pa.string(),
            "dataset": pa.string(),
            "split": pa.string(),
            "budget": pa.string(),
            "seed": pa.int32(),
            "fold": pa.int32(),
            "molecule": pa.int32(),
            "role": pa.string(),
        }
    ),
    # One row a fit: one setting, seed and fold, trained once (or interpolated once). `status` is "ok" or "failed",
    # `reason` says why. `part` names the file under parts/ that holds its predictions and weights.
    "fits": pa.schema(
        {
            **RUN,
            "fold": pa.int32(),
            "status": pa.string(),
            "reason": pa.string(),
            "note": pa.string(),  # what a reader should know: e.g. "one class in validation: selected by loss"
            "best_epoch": pa.int32(),
            "epochs": pa.int32(),
            "valid_metric": pa.float64(),  # the data set's metric on this fold's validation molecules, NaN if undefined
            "valid_loss": pa.float64(),
            "trained_parameters": pa.int64(),
            "started": pa.string(),  # UTC, 2026-11-25T09:30:00+00:00
            "wall_seconds": pa.float64(),
            "cpu_seconds": pa.float64(),
            "peak_memory_mb": pa.float64(),
            "device": pa.string(),
            **ORIGIN,
            "part": pa.string(),
        }
    ),
    # One row a molecule, seed and setting; `prediction` has one entry a task: a probability or a value in label units.
    # In cross-fitting, validation predictions are out of fold and test predictions are the folds' mean; `spread` is the
    # folds' standard deviation, null where one model predicts.
    "predictions": pa.schema(
        {
            **RUN,
            "partition": pa.string(),
            "molecule": pa.int32(),
            **{name: pa.list_(pa.float32()) for name in ("prediction", "spread")},
        }
    ),
    # Learning curves of the fits. `stage` counts the stages of a method with several (LP-FT).
    "curves": pa.schema(
        {
            **RUN,
            "fold": pa.int32(),
            "stage": pa.int32(),
            "epoch": pa.int32(),
            "train_loss": pa.float64(),
            "valid_loss": pa.float64(),
            "valid_metric": pa.float64(),
        }
    ),
    # DWiSE-FT's mixing coefficients: `part` is "encoder", a block ("embed", "blocks.0", ...) or a parameter group.
    "coefficients": pa.schema({**RUN, "fold": pa.int32(), "part": pa.string(), "alpha": pa.float64()}),
    # One row a metric. `task` is a task's name, or "macro" for the mean over the tasks where the metric is defined;
    # `undefined` counts the tasks where it is not, `molecules` those with a label. NaN is undefined, never replaced.
    "scores": pa.schema(
        {
            **RUN,
            "partition": pa.string(),
            "metric": pa.string(),
            "task": pa.string(),
            "value": pa.float64(),
            "molecules": pa.int64(),
            "tasks": pa.int32(),
            "undefined": pa.int32(),
        }
    ),
    # One row a cell and seed: the setting that the rule chose. `rule` is a name in selection.RULES.
    "selected": pa.schema(
        {
            **RUN,
            "rule": pa.string(),
            "candidates": pa.int32(),
            "failed": pa.int32(),
            "metric": pa.string(),
            "valid_value": pa.float64(),
            "valid_loss": pa.float64(),
            "test_value": pa.float64(),
            "test_r2": pa.float64(),  # of a regression, by the mean of the test part's own labels; or else NaN
            "seen": pa.float64(),  # share of the test molecules in a corpus of the model, NaN where none can be checked
            "contamination": pa.string(),  # one of contamination.KINDS
            "note": pa.string(),
        }
    ),
    # WiSE-FT's whole path: the metric at every alpha, ends included, on validation and test.
    "alphas": pa.schema(
        {**RUN, "alpha": pa.float64(), "partition": pa.string(), "metric": pa.string(), "value": pa.float64()}
    ),
    # One row a cell: the selected runs' test metric over seeds, and paired differences (method minus reference, by
    # seed; NaN where the reference was not run). `better` is +1 for a metric to maximise, -1 for one to minimise.
    "summary": pa.schema(
        {
            **CELL,
            "metric": pa.string(),
            "better": pa.int32(),
            "seeds": pa.int32(),
            "failed": pa.int32(),
            "mean": pa.float64(),
            "std": pa.float64(),
            "min": pa.float64(),
            "max": pa.float64(),
            "r2": pa.float64(),  # of "selected", mean and deviation over seeds
            "r2_std": pa.float64(),
            "rank": pa.float64(),  # 1 is best, by mean, within protocol, model, dataset, split and budget
            **{f"vs_{name}{end}": pa.float64() for name in COMPARED for end in ("", "_std")},
            "wall_seconds": pa.float64(),  # all fits of the cell, search over settings included
            "seen": pa.float64(),  # mean of "selected" over the seeds
            "contamination": pa.string(),  # the worst of the seeds
        }
    ),
    # One row a model: what it was pretrained on, and which others it is. `content` is the digest of its weights,
    # `same_as` names the models that are the same file or hold the same weights. `learnt` are the corpora whose labels
    # it learnt, `checkable` those whose molecules can be had, `suspected` data sets whose labels it may have learnt.
    "models": pa.schema(
        {
            "model": pa.string(),
            "pretraining": pa.string(),  # one of registry.PRETRAINING
            "content": pa.string(),
            **{name: pa.list_(pa.string()) for name in ("same_as", "corpora", "learnt", "checkable", "suspected")},
        }
    ),
    # One row a molecule of the data set that is in the corpus.
    "hits": pa.schema({"dataset": pa.string(), "corpus": pa.string(), "molecule": pa.int32()}),
    # How many test molecules of a seed are in a corpus of the model; `seen` is null where the corpus is not to be had.
    "overlaps": pa.schema(
        {
            "protocol": pa.string(),
            "model": pa.string(),
            "dataset": pa.string(),
            "split": pa.string(),
            "budget": pa.string(),
            "seed": pa.int32(),
            "corpus": pa.string(),
            "learnt": pa.bool_(),  # whether the corpus' labels were learnt
            "checked": pa.bool_(),
            "test_molecules": pa.int32(),
            "seen": pa.int32(),
        }
    ),
    # The cells that the experiment asked to leave out of all tables but this one and "overlaps".
    "left_out": pa.schema({**CELL, "seen": pa.float64(), "contamination": pa.string()}),
    # A data set's molecules that are in an activity cliff. `origin` is "published" (a column of the source file) or
    # "computed" (from structures and labels). Only for data sets that the registry says have cliffs.
    "cliff_molecules": pa.schema(
        {"dataset": pa.string(), "molecule": pa.int32(), "cliff": pa.bool_(), "origin": pa.string()}
    ),
    # One row a cell of an out-of-distribution split whose in-distribution counterpart, `reference`, was run too; of
    # split "boom" that is "test_id", the other test of the same fits, and the error of the drop is of differences by
    # seed. `drop` is positive where the score is worse out of distribution; `ratio` is RMSE there by RMSE at the
    # reference, NaN for other metrics. `_std` are over seeds, `_error` standard errors: the splits' seeds are not
    # paired.
    "shift": pa.schema(
        {
            **CELL,
            "reference": pa.string(),
            "metric": pa.string(),
            "better": pa.int32(),
            **{f"{side}_{name}": pa.float64() for side in ("reference", "shifted") for name in ("mean", "std")},
            "reference_seeds": pa.int32(),
            "shifted_seeds": pa.int32(),
            **{name: pa.float64() for name in ("drop", "drop_error", "ratio", "ratio_error")},
        }
    ),
    # One row a cell: RMSE on the test molecules that are in an activity cliff and on all others, over the seeds that
    # have both; `gap` is cliffs minus others, within a seed. `cliff_molecules` and `other_molecules` are means a seed.
    "cliffs": pa.schema(
        {
            **CELL,
            "origin": pa.string(),
            "seeds": pa.int32(),
            "cliff_molecules": pa.float64(),
            "other_molecules": pa.float64(),
            **{name: pa.float64() for name in ("cliff_rmse", "cliff_std", "other_rmse", "other_std", "gap", "gap_std")},
        }
    ),
    # One row a cell and measure: one of calibration.MEASURES. `value` is of all seeds together, `seed_mean` and
    # `seed_std` of one seed's (NaN where seeds are what is measured). `molecules` counts distinct labelled molecules of
    # the test parts (molecules by tasks); `note` says why there is no value, or how far to trust it.
    "calibration": pa.schema(
        {
            **CELL,
            "measure": pa.string(),
            **{name: pa.float64() for name in ("value", "seed_mean", "seed_std")},
            "seeds": pa.int32(),
            "molecules": pa.int64(),
            "note": pa.string(),
        }
    ),
    # The reliability curve of a cell, one row a bin of about equally many predictions, in the order of the predictions.
    # `kind` "classification": mean predicted probability and observed share of positives. "regression": predicted and
    # observed root mean squared error. `low` to `high` is the 95% interval of `observed`, by the distinct `molecules`.
    "reliability": pa.schema(
        {
            **CELL,
            "kind": pa.string(),
            "bin": pa.int32(),
            **{name: pa.float64() for name in ("predicted", "observed", "low", "high")},
            "entries": pa.int64(),  # predictions, over all seeds
            "molecules": pa.int64(),
        }
    ),
    # A cell's error on test molecules by their similarity to the nearest training molecule, one row a bin that has any:
    # lower <= similarity < upper (the last bin holds 1). `measure` is "rmse" or "brier", `error` its standard error.
    "similarity": pa.schema(
        {
            **CELL,
            "lower": pa.float64(),
            "upper": pa.float64(),
            "similarity": pa.float64(),  # the bin's mean
            "measure": pa.string(),
            "value": pa.float64(),
            "error": pa.float64(),
            "entries": pa.int64(),
            "molecules": pa.int64(),
        }
    ),
    # The rank correlation `rho`, with its 95% interval, of a `measure` of what fits did to the model (quantities of
    # "changes"; "cka" stands for 1 - CKA) with the loss of test score, over the `methods` of a setting.
    "collapse": pa.schema(
        {
            **{name: pa.string() for name in CELL if name != "method"},
            "measure": pa.string(),
            "metric": pa.string(),
            "methods": pa.int32(),
            **{name: pa.float64() for name in ("rho", "low", "high")},
            "note": pa.string(),
        }
    ),
    # A user's own data set: one row a candidate, the best mean first. `low` to `high` is the 95% interval of the mean
    # over the resamples, `new_low` to `new_high` that of the score on one more test part; differences are candidate
    # minus reference in the metric's unit. `behind`: the best is better beyond doubt. `cpu_seconds` are a resample's.
    "ranking": pa.schema(
        {
            "place": pa.int32(),
            "model": pa.string(),
            "method": pa.string(),
            "metric": pa.string(),
            "better": pa.int32(),
            "resamples": pa.int32(),
            **{name: pa.float64() for name in ("mean", "std", "low", "high", "new_low", "new_high")},
            **{
                f"{reference}{end}": pa.float64()
                for reference in (*(f"vs_{name}" for name in COMPARED), "vs_best")
                for end in ("", "_low", "_high")
            },
            "r2": pa.float64(),  # mean over the resamples, NaN for a classification
            # Against the best, corrected for all candidates: Tukey's interval of the difference, and Holm's p.
            **{name: pa.float64() for name in ("tukey_low", "tukey_high", "holm_p")},
            "behind": pa.bool_(),
            "cpu_seconds": pa.float64(),
            "chosen": pa.bool_(),
            "note": pa.string(),
        }
    ),
    # What a fit did to the encoder (changes.py). `quantity` is "distance", by `part` ("embed", "blocks.0", ..., "all");
    # of the part "vectors" (molecules') one of "cka", "effective_rank" and "effective_rank_pretrained"; of "atoms" one
    # of "davies_bouldin", "davies_bouldin_ratio" and "wasserstein", over so many held-out `molecules` (0 for
    # distances); of "forces" "force_drift" and "force_error", mean absolute differences from the pretrained model and
    # from GFN2-xTB in eV/A an axis, over so many conformers.
    "changes": pa.schema(
        {
            **RUN,
            "fold": pa.int32(),
            "part": pa.string(),
            "quantity": pa.string(),
            "value": pa.float64(),
            "molecules": pa.int32(),
        }
    ),
    # Where atoms lie on the plane of a t-SNE of their vectors before and after a fit, a row an atom: one plane for
    # both, another one for each cell. Of one seed's selected setting, and only where the experiment asks for pictures.
    "embeddings": pa.schema(
        {
            **CELL,
            "seed": pa.int32(),
            "kind": pa.string(),  # one of collapse.CLASSES
            **{name: pa.float32() for name in ("before_x", "before_y", "after_x", "after_y")},
        }
    ),
    # The Davies-Bouldin index on that plane, before and after, and after by before; NaN where undefined.
    "tsne": pa.schema(
        {
            **CELL,
            "seed": pa.int32(),
            **{name: pa.float64() for name in ("davies_bouldin_before", "davies_bouldin_after", "ratio")},
        }
    ),
    # Along the line from the pretrained weights (alpha 0) to full FT's (alpha 1) and beyond both, with full FT's head:
    # the data set's metric and the loss (log loss or squared error) of a partition; NaN where undefined or not finite.
    "paths": pa.schema(
        {
            **{name: pa.string() for name in CELL if name != "method"},
            "seed": pa.int32(),
            "fold": pa.int32(),
            "alpha": pa.float64(),
            "partition": pa.string(),  # "train", "valid" or "test"
            "molecules": pa.int32(),
            "metric": pa.string(),
            "value": pa.float64(),
            "loss": pa.float64(),
        }
    ),
    # The loss over the plane through the pretrained weights, full FT's and DWiSE-FT's. `x` and `y` are Euclidean
    # lengths in weight space: pretrained at (0, 0), full FT at (x, 0). `point` is "pretrained", "full_ft", "dwise_ft",
    # or "" for a point of the grid.
    "planes": pa.schema(
        {
            **{name: pa.string() for name in CELL if name != "method"},
            "seed": pa.int32(),
            "fold": pa.int32(),
            "partition": pa.string(),  # "train" or "test"
            "molecules": pa.int32(),
            "point": pa.string(),
            "x": pa.float64(),
            "y": pa.float64(),
            "loss": pa.float64(),
        }
    ),
    # What a fit cost and where it was made: one row a fit, the columns of `fits` that say so.
    "timings": pa.schema(
        {
            **RUN,
            "fold": pa.int32(),
            "status": pa.string(),
            "reason": pa.string(),
            "epochs": pa.int32(),
            "best_epoch": pa.int32(),
            "trained_parameters": pa.int64(),
            "started": pa.string(),
            "wall_seconds": pa.float64(),
            "cpu_seconds": pa.float64(),
            "peak_memory_mb": pa.float64(),
            "device": pa.string(),
            **ORIGIN,
        }
    ),
    # What is compared with what: a row a method and reference over a family's data sets ("all"), then one a data set.
    # `difference` is the mean over data sets of (method minus reference), each a mean over `seeds`; `relative` the
    # change of the geometric mean of ratios, NaN for metrics without a unit. `low` to `high` is the 95% bootstrap
    # interval of what `scale` names, `levels` what it resamples: against the constant predictor on one data set the
    # molecules alone. `p` is Wilcoxon's over data sets, or that of the interval for one. `p_holm` corrects it for all
    # `comparisons` of its kind in the table (`statistics.comparisons.corrected`), NaN where the test could not be
    # significant, which `enough` says; `smallest_n` data sets or, on one, seeds could be. `region` is practical
    # equivalence on `scale`.
    "comparisons": pa.schema(
        {
            **FAMILY,
            "better": pa.int32(),
            "method": pa.string(),
            "reference": pa.string(),
            "dataset": pa.string(),
            "datasets": pa.int32(),
            "seeds": pa.int32(),  # the fewest of any data set
            "difference": pa.float64(),
            "relative": pa.float64(),
            "scale": pa.string(),  # "difference" or "relative"
            "low": pa.float64(),
            "high": pa.float64(),
            "levels": pa.string(),
            "p": pa.float64(),
            "p_holm": pa.float64(),
            "comparisons": pa.int32(),
            "smallest_n": pa.int32(),
            "enough": pa.bool_(),
            "region": pa.float64(),
            "verdict": pa.string(),  # "better", "worse", "equivalent" or "undecided"
            "note": pa.string(),
        }
    ),
    # The methods of a family's complete block, the best mean rank first. `mean` is over data sets and seeds; `groups`
    # are letters: methods that share one are not told apart by the corrected tests of all `pairs`.
    "mean_ranks": pa.schema(
        {
            **FAMILY,
            "method": pa.string(),
            "mean_rank": pa.float64(),
            "mean": pa.float64(),
            "datasets": pa.int32(),
            "groups": pa.string(),
            "friedman_p": pa.float64(),
            "pairs": pa.int32(),
            "smallest_n": pa.int32(),
            "enough": pa.bool_(),
            "note": pa.string(),
        }
    ),
    # Wilcoxon's p of each two methods of a family's complete block, and Holm's over all of them.
    "pairs": pa.schema(
        {
            **FAMILY,
            "a": pa.string(),
            "b": pa.string(),
            "datasets": pa.int32(),
            "p": pa.float64(),
            "p_holm": pa.float64(),
        }
    ),
    # Energies and forces of molecules that are in no data set, a row a conformer, in the order of a hash of `inchikey`.
    # `row` is the molecule's in its corpus; atoms are those of `smiles` in their order, then the hydrogens that RDKit
    # adds. `source` says whose labels they are: "gfn2", or "native" for those of a user's own file, where a row is a
    # structure in the file's order, `row` its place there, `conformer` counts those of its `inchikey`, and atoms are in
    # their own order. `status` is "ok" or "failed", `reason` says why; a failed row has no energy (NaN) and no forces,
    # no positions if there was no conformer, and no `smiles` and `inchikey` if its molecule is not known.
    "force_labels": pa.schema(
        {
            "row": pa.int64(),
            "smiles": pa.string(),  # canonical
            "inchikey": pa.string(),
            "conformer": pa.int32(),
            "source": pa.string(),
            "status": pa.string(),
            "reason": pa.string(),
            "numbers": pa.list_(pa.int8()),  # atomic numbers, n
            "positions": pa.list_(pa.float32()),  # A, 3 n: x, y, z of each atom in turn
            "energy": pa.float64(),  # eV
            "forces": pa.list_(pa.float32()),  # eV/A, 3 n
        }
    ),
}


def schema(name: str) -> pa.Schema:
    """The schema of table `name`, marked with its name and version."""
    return SCHEMAS[name].with_metadata({"roftmol.table": name, "roftmol.version": str(VERSION)})


def marked(name: str, settings: Any = None, source: Path | None = None) -> pa.Schema:
    """The schema of table `name` with all marks of a file that this process makes by `settings` from a `source`."""
    made = {f"roftmol.{key}": value for key, value in asdict(origin(settings)).items()}
    read = {"roftmol.source": sha256(source)} if source else {}
    plain = schema(name)
    return plain.with_metadata({**plain.metadata, **made, **read})


def table(name: str, frame: pd.DataFrame) -> pa.Table:
    """Turn a frame into table `name`; extra or missing columns and wrong types raise `ValueError`."""
    wanted = schema(name)
    if set(frame.columns) != set(wanted.names):
        missing = sorted(set(wanted.names) - set(frame.columns))
        extra = sorted(set(frame.columns) - set(wanted.names))
        raise ValueError(f"table {name}: missing columns {missing}, unknown columns {extra}")
    return pa.Table.from_pandas(frame[wanted.names], schema=wanted, preserve_index=False)


def write(name: str, frame: pd.DataFrame, path: Path | str, settings: Any = None, source: Path | None = None) -> None:
    """Write `frame` as table `name` to `path`, atomically.

    `settings` are what the stage was told, a dataclass or a JSON value; `source` is the file whose digest is recorded.
    """
    data = table(name, frame)
    data = data.replace_schema_metadata({**data.schema.metadata, **marked(name, settings, source).metadata})
    with atomic(path) as temporary:
        pq.write_table(data, temporary, compression="zstd")


def read(
    name: str,
    path: Path | str,
    columns: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Read table `name` from `path`, or only some of its columns.

    Raises `UserError` if the file is missing, unreadable, another table, or of another version.
    """
    with _reading(path):
        data = pq.read_table(path, columns=columns)
    _check(name, path, data.schema)
    wanted = schema(name)
    return data.cast(wanted if columns is None else pa.schema([wanted.field(n) for n in columns])).to_pandas()


def content_digest(path: Path | str) -> str:
    """A digest of a table's rows, whatever the marks of its file say of who asked for it; raises as :func:`read`."""
    with _reading(path):
        data = pq.read_table(path).replace_schema_metadata(None).combine_chunks()
    sink = hashlib.sha256()
    for batch in data.to_batches():
        sink.update(batch.serialize())
    return sink.hexdigest()


def stream(name: str, path: Path | str) -> Iterator[pa.Table]:
    """Table `name` a row group at a time, for tables that are larger than the memory; raises as :func:`read` does."""
    with _reading(path), pq.ParquetFile(path) as file:
        _check(name, path, file.schema_arrow)
        for group in range(file.num_row_groups):
            yield file.read_row_group(group).cast(schema(name))


class Indexed:
    """Table `name`, read by the values of its columns `keys`, for tables that are larger than the memory.

    The file stays open, and its statistics say in which row groups to look: a table of thousands of cells, each in a
    row group of its own, is not searched anew for each. Raises as :func:`read` does.
    """

    def __init__(self, name: str, path: Path | str, keys: Sequence[str]):
        self._path = path
        with _reading(path):
            self._file = pq.ParquetFile(path)
        _check(name, path, self._file.schema_arrow)
        metadata = self._file.metadata
        places = {metadata.schema.column(place).path: place for place in range(metadata.num_columns)}
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        # A cell whose fits all failed leaves a group without rows, which has no least and no largest value.
        self._filled = [number for number, group in enumerate(groups) if group.num_rows]
        groups = [groups[number] for number in self._filled]
        found = {key: [group.column(places[key]).statistics for group in groups] for key in keys}
        self._least = {key: np.array([of_group.min for of_group in parts], object) for key, parts in found.items()}
        self._most = {key: np.array([of_group.max for of_group in parts], object) for key, parts in found.items()}

    def read(self, where: Mapping[str, str], columns: Sequence[str]) -> pa.Table:
        """These columns of the rows with these values of keys."""
        here = np.ones(len(self._filled), bool)
        for key, value in where.items():
            here &= (self._least[key] <= value) & (self._most[key] >= value)
        groups = [self._filled[place] for place in np.flatnonzero(here)]
        with _reading(self._path):
            found = self._file.read_row_groups(groups, list(dict.fromkeys([*columns, *where])))
        for key, value in where.items():
            found = found.filter(pa.compute.equal(found[key], value))
        return found.select(list(columns))


def marks(path: Path | str) -> dict[str, str]:
    """What a file says of itself, by the names of the module's text.

    Raises `UserError` if it cannot be read, is no table of this version, or has other columns than that.
    """
    with _reading(path):
        found = pq.read_schema(path)
    told = {key.decode(): value.decode() for key, value in (found.metadata or {}).items()}
    name = told.get("roftmol.table", "")
    if name not in SCHEMAS:
        raise UserError(f"{path}: it is no table of this workflow. Delete it and run the workflow again.")
    _check(name, path, found)
    if found.names != SCHEMAS[name].names:
        raise UserError(f"{path}: its columns are not those of table {name}. Delete it and run the workflow again.")
    return told


@contextmanager
def _reading(path: Path | str) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(
            f"{path}: cannot be read as a Parquet table ({error}). Delete it and run the workflow again."
        ) from error


def _check(name: str, path: Path | str, found_schema: pa.Schema) -> None:
    """Raise `UserError` unless the file is table `name` of this version."""
    marks = found_schema.metadata or {}
    found = marks.get(b"roftmol.table", b"?").decode()
    version = marks.get(b"roftmol.version", b"?").decode()
    if (found, version) != (name, str(VERSION)):
        raise UserError(
            f"{path}: expected table {name} of version {VERSION}, found {found} of version {version}. "
            "Delete it and run the workflow again."
        )


def empty(name: str) -> pd.DataFrame:
    """Table `name` without rows."""
    return schema(name).empty_table().to_pandas()
