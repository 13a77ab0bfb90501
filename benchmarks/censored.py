"""What becomes of labels that only limit the value, compared on labels that are known: the table of docs/recommend.md.

    PYTHONPATH=workflow python benchmarks/censored.py esol lipo

Labels above the dataset's 70th percentile become `>limit`. Of 100 molecules drawn by a seed, a method learns

- all: the labels as they were
- drop: those that are values
- limit: the limit in place of each value above it
- one_sided: that the value lies above the limit

and predicts 500 others, at most. Errors are from the labels as they were: of all, and of those below the limit, which a
user would know; gaps are the errors from all labels that a user would know, 0 beyond the limit; concordance is of these
too. Files are the registered ones, from ROFTMOL_MIRROR.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from roftmol.core.seeds import generator
from roftmol.data import molecules
from roftmol.data.download import fetch, mirror
from roftmol.deploy.ensemble import EnsembleSettings, References
from roftmol.deploy.head_model import Labelled, Reader
from roftmol.encoders.checkpoints import convert, load_encoder
from roftmol.features.fingerprints import morgan_counts
from roftmol.methods import METHODS
from roftmol.methods.fingerprint import GRID
from roftmol.registry import catalog
from roftmol.registry.catalog import EMBEDDED
from roftmol.tasks.censored_regression import TASK as CENSORED
from roftmol.tasks.censored_regression import concordance, encoded, squared_gap
from roftmol.tasks.regression import TASK as REGRESSION
from roftmol.tasks.regression import rmse

QUANTILE, LABELS, TESTED, SEEDS = 0.7, 100, 500, 5
METHOD_NAMES = ("hybrid", "fingerprint")


def compared(name: str, reader: Reader) -> pd.DataFrame:
    """Return the scores of every method, treatment and seed on one dataset."""
    dataset = catalog.datasets()[name]
    with TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        fetch(dataset.sources, source, mirror=mirror(), name=name, archives=Path(folder))
        kept, _, _ = molecules.read(source, dataset, max_rejected=0.1)
    kept = kept.drop_duplicates("canonical")
    y = np.array(kept["labels"].tolist(), np.float64)[:, 0]
    limit = float(np.quantile(y, QUANTILE))
    above = y > limit
    known = np.minimum(y, limit)
    bounds = encoded(known, above.astype(np.int64))
    learnt = {
        "all": (REGRESSION, y, np.ones(len(y), np.bool_)),
        "drop": (REGRESSION, y, ~above),
        "limit": (REGRESSION, known, np.ones(len(y), np.bool_)),
        "one_sided": (CENSORED, bounds, np.ones(len(y), np.bool_)),
    }
    rows = []
    for seed in range(SEEDS):
        order = generator("censored", name, seed).permutation(len(y))[: LABELS + TESTED]
        smiles = kept["smiles"].iloc[order].tolist()
        inputs, counts = reader.inputs(smiles), morgan_counts(smiles)
        test = np.arange(LABELS, len(order))
        for treatment, (task, labels, teaches) in learnt.items():
            taught = np.flatnonzero(teaches[order[:LABELS]])
            of = labels[order].astype(np.float32)
            for method in METHOD_NAMES:
                grid = tuple(vars(setting) for setting in GRID) if method == "fingerprint" else ({},)
                settings = EnsembleSettings(method, grid, task.name, task.primary.name, seed=seed)
                head = METHODS[method].head
                parts = np.arange(len(order))
                fitting = Labelled(head(), reader, inputs, of, parts) if head else References(counts, of, parts)
                p = fitting.outputs(fitting.fit(taught, settings), test, settings).mean
                truth, hidden = y[order][test], above[order][test]
                scores = {
                    "rmse": rmse(truth, p),
                    "rmse_below": rmse(truth[~hidden], p[~hidden]),
                    "rmse_gaps": squared_gap(bounds[order][test], p) ** 0.5,
                    "bias_above": float((p - truth)[hidden].mean()),
                    "concordance": concordance(bounds[order][test], p),
                }
                rows.append({"dataset": name, "method": method, "censored": treatment, "seed": seed, **scores})
    return pd.DataFrame(rows)


def main() -> None:
    """Print means over seeds, and the standard deviation of the RMSE."""
    entry = catalog.checkpoints()[EMBEDDED]
    with TemporaryDirectory() as folder:
        raw, path = Path(folder) / "raw", Path(folder) / "encoder.safetensors"
        fetch(entry.sources, raw, mirror=mirror(), name=entry.name, archives=Path(folder))
        convert(raw, entry.architecture, path, name=entry.name, vocabulary=entry.vocabulary, drop=entry.drop)
        reader = Reader(METHODS["hybrid"].reads, load_encoder(path, dropout=0.0), entry.featurizer)
    table = pd.concat([compared(name, reader) for name in sys.argv[1:]], ignore_index=True)
    groups = table.groupby(["dataset", "method", "censored"], sort=False)
    means = groups[["rmse", "rmse_below", "rmse_gaps", "bias_above", "concordance"]].mean()
    print(means.assign(rmse_sd=groups["rmse"].std()).round(3).to_string())


if __name__ == "__main__":
    main()
