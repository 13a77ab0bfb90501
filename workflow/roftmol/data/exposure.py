"""Which molecules that test or validate one dataset of a panel train another: what a joint encoder has seen of them.

Where each dataset has a split of its own, a test molecule of one may train another, under another label. A gain of
joint training on such a split mixes transfer with having seen the molecule. Molecules are compared by canonical SMILES,
as a panel's label matrix joins them: what is counted is the least that was seen.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

#: The parts that should be new to a model, in the order of the table.
HELD_OUT = ("valid", "test", "test_id")


def exposure(molecules: Mapping[str, pd.DataFrame], splits: Mapping[str, pd.DataFrame], panel: str) -> pd.DataFrame:
    """Return table "exposure" of a panel from the tables "molecules" and "splits" of its datasets, by their names.

    A molecule counts once, however many records a dataset has of it. With several folds, it is exposed if it trains
    another dataset in any of them.
    """
    structures = {
        name: split.merge(molecules[name][["molecule", "canonical"]], on="molecule", validate="many_to_one")
        for name, split in splits.items()
    }
    rows = []
    for name in sorted(structures):
        own = structures[name]
        for (seed, role), part in own[own["role"].isin(HELD_OUT)].groupby(["seed", "role"]):
            held_out = part["canonical"].unique()
            seen = {
                other: np.isin(held_out, of[(of["seed"] == seed) & (of["role"] == "train")]["canonical"].unique())
                for other, of in sorted(structures.items())
                if other != name
            }
            exposed = np.logical_or.reduce([np.zeros(len(held_out), np.bool_), *seen.values()])
            most = max(seen, key=lambda other: seen[other].sum(), default="")
            identity = own.iloc[0][["protocol", "dataset", "split", "budget"]].to_dict()
            rows.append(
                {
                    **identity,
                    "panel": panel,
                    "seed": seed,
                    "partition": role,
                    "molecules": len(held_out),
                    "exposed": int(exposed.sum()),
                    "most_by": most if seen and seen[most].any() else "",
                    "most": int(seen[most].sum()) if seen else 0,
                    "records": np.unique(part.loc[part["canonical"].isin(held_out[exposed]), "molecule"]).tolist(),
                }
            )
    table = pd.DataFrame(rows)
    order = table["partition"].map(HELD_OUT.index)
    return table.assign(order=order).sort_values(["dataset", "seed", "order"]).drop(columns="order")
