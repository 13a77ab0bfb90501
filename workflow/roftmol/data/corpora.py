"""What encoders are pretrained on: published files -> one table of molecules, and that with labels -> a recipe's."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.csv
from pyarrow import ArrowInvalid
from rdkit import Chem, rdBase
from rdkit.Chem import Descriptors

from roftmol.core.errors import UserError
from roftmol.core.parallel import by_chunk
from roftmol.core.seeds import seed_of
from roftmol.registry.catalog import Corpus

CHUNK = 500
Labels = npt.NDArray[np.float32]


def read(paths: Sequence[Path], corpus: Corpus, processes: int = 1) -> pd.DataFrame:
    """Read table "corpora" from a corpus' files, in their order.

    What RDKit cannot read is left out and counted on stderr. Raises `UserError` if a file has no such columns, or if
    RDKit can read less than half of it.
    """
    parts = [_columns(path, corpus) for path in paths]
    smiles = [text for texts, _ in parts for text in texts]
    canonical = list(chain.from_iterable(by_chunk(_canonical, smiles, CHUNK, processes)))
    table = pd.DataFrame(
        {
            "corpus": corpus.name,
            "row": np.arange(len(smiles)),
            "smiles": smiles,
            "canonical": canonical,
            "labels": list(np.concatenate([labels for _, labels in parts])),
        }
    )
    kept = table[table["canonical"] != ""].reset_index(drop=True)
    if 2 * len(kept) < len(table):
        form = f"column {corpus.smiles} of SMILES" if corpus.smiles else "list of SMILES, one a line"
        raise UserError(
            f"{', '.join(map(str, paths))}: RDKit reads {len(kept)} of {len(table)} records; is it a {form}?"
        )
    print(f"{corpus.name}: {len(kept):,} molecules, {len(table) - len(kept)} records left out", file=sys.stderr)
    return kept


def with_labels(
    tables: Mapping[str, pd.DataFrame],
    names: Mapping[str, Sequence[str]],
    computed: Mapping[str, Sequence[str]],
    per_atom: Iterable[str] = (),
    processes: int = 1,
) -> tuple[list[str], Labels, list[str]]:
    """Return the SMILES of several corpora, their labels, and the tasks.

    Labels are molecules x tasks, NaN where a corpus lacks one. `names` are the label columns of each corpus, `computed`
    the properties that `rdkit.Chem.Descriptors` calculates for it. Those `per_atom` are divided by the number of heavy
    atoms. Raises `UserError` for a property that RDKit lacks.
    """
    for name in sorted(set(chain.from_iterable(computed.values()))):
        if not hasattr(Descriptors, name):
            raise UserError(f"computed: rdkit.Chem.Descriptors has no {name!r}.")
    tasks = list(dict.fromkeys(chain.from_iterable([*names.values(), *computed.values()])))
    smiles: list[str] = []
    blocks = []
    for corpus, table in tables.items():
        texts = table["smiles"].tolist()
        published = np.stack(table["labels"].tolist()) if len(names[corpus]) else np.zeros((len(table), 0), np.float32)
        properties = list(computed.get(corpus, ()))
        calculated = np.concatenate(list(by_chunk(partial(_properties, names=properties), texts, CHUNK, processes)))
        block = np.full((len(table), len(tasks)), np.nan, np.float32)
        columns = [tasks.index(name) for name in (*names[corpus], *properties)]
        block[:, columns] = np.concatenate([published, calculated[:, 1:]], axis=1)
        block[:, [name in per_atom for name in tasks]] /= calculated[:, :1]
        blocks.append(block)
        smiles += texts
    return smiles, np.concatenate(blocks), tasks


def _columns(path: Path, corpus: Corpus) -> tuple[list[str], Labels]:
    """Return the SMILES of one file, and its labels: molecules x labels."""
    if corpus.smiles is None:
        # What follows a SMILES on its line is the molecule's name.
        smiles = [words[0] for line in path.read_text(encoding="utf-8").splitlines() if (words := line.split())]
        return smiles, np.zeros((len(smiles), 0), np.float32)
    options = pyarrow.csv.ConvertOptions(include_columns=[corpus.smiles, *corpus.labels])
    try:
        table = pyarrow.csv.read_csv(path, convert_options=options)
    except (ArrowInvalid, KeyError) as error:
        raise UserError(
            f"{path}: not a CSV with the columns {', '.join(options.include_columns)} ({error})."
        ) from error
    labels = [table[name].to_numpy().astype(np.float32) for name in corpus.labels]
    return table[corpus.smiles].to_pylist(), np.stack(labels, 1) if labels else np.zeros((len(table), 0), np.float32)


def _canonical(smiles: Sequence[str]) -> list[str]:
    """Return canonical SMILES as in table "molecules"; "" for what cannot be read."""
    with rdBase.BlockLogs():
        parsed = [Chem.MolFromSmiles(text) for text in smiles]
    return [Chem.MolToSmiles(molecule) if molecule else "" for molecule in parsed]


def _properties(smiles: Sequence[str], names: Sequence[str]) -> Labels:
    """Return the numbers of heavy atoms and the named properties: molecules x (1 + properties).

    A property is NaN where RDKit gives no finite number.
    """
    functions = [getattr(Descriptors, name) for name in names]
    rows = []
    with rdBase.BlockLogs():
        for text in smiles:
            molecule = Chem.MolFromSmiles(text)
            rows.append([molecule.GetNumHeavyAtoms(), *(function(molecule) for function in functions)])
    values = np.array(rows, np.float32)
    return np.where(np.isfinite(values), values, np.nan)


def others(corpus: pd.DataFrame, datasets: Sequence[pd.DataFrame], count: int) -> pd.DataFrame:
    """Return table "pretraining": `count` molecules of a table "corpora" that are in none of the `datasets`.

    They are compared by canonical SMILES, and stand in the order of a hash of that. So a larger number keeps the first
    ones, and another dataset takes nothing out but its molecules. Raises `UserError` if there are not as many.
    """
    taken = {text for table in datasets for text in table["canonical"]}
    free = [text for text in dict.fromkeys(corpus["canonical"]) if text not in taken]
    if len(free) < count:
        raise UserError(
            f"auxiliary: {count} molecules are asked for, and the corpus has {len(free)} that are in no dataset; "
            "ask for fewer or name another corpus"
        )
    chosen = sorted(free, key=lambda text: seed_of("auxiliary", text))[:count]
    return pd.DataFrame({"smiles": chosen, "labels": [np.empty(0, np.float32)] * count})
