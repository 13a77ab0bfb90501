"""A text that is not one SMILES as a whole is refused with its reason; RDKit would cut it and read another molecule."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest
from rdkit import Chem, rdBase

from mirror import needs_mirror
from roftmol.data.molecules import Molecule, Reject, parse, readable
from roftmol.data.smiles import fault_around
from roftmol.registry import catalog


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("CCCCCC\nC(=O)OCC", "more than one line: 'C(=O)OCC' follows 'CCCCCC'"),
        ("CCO\r\nCCN", "more than one line"),
        ("CCO\nCCN name", "more than one line"),
        ("CCCCO CCCN", "text behind the SMILES 'CCCCO': 'CCCN'"),
        ("CCO\tethanol", "text behind the SMILES 'CCO': 'ethanol'"),
        ("CCCl₂", "'₂' (U+2082) at character 5"),
        ("CCO\u200b", "U+200B at character 4"),
        ("\ufeffCCO", "U+FEFF at character 1"),
        ("CCO\u00b4", "(U+00B4) at character 4"),
        ("CC\x00N", "U+0000 at character 3"),
        ("CCO\x7f", "U+007F at character 4"),
        ("CCO |^1:0|", "extension '^1:0'"),  # a radical
        ("CCO |Sg:n:0,1::ht|", "extension 'Sg:n:0,1::ht'"),  # a repeating unit
        ("CCO |r,LN:1:1.3|", "extension 'LN:1:1.3'"),
        ("CCO |x|", "extension 'x'"),
        ("CCO |c:0", "text behind the SMILES"),
        ("CCO |r| name", "text behind the SMILES"),
        ("C/C=C/C |c:1|", "does not fit 'C/C=C/C', or changes it"),
        ("C[C@H](F)Cl |w:1.0|", "does not fit 'C[C@H](F)Cl', or changes it"),
        ("C[C@H](F)Cl |w:1|", "does not fit 'C[C@H](F)Cl', or changes it"),
    ],
)
def test_what_rdkit_would_not_read_whole_is_refused(text: str, told: str) -> None:
    for read in (parse, readable):
        judged = read(text)
        assert isinstance(judged, Reject)
        assert judged.reason == "invalid_smiles"
        assert told in judged.detail


@pytest.mark.parametrize(
    "text",
    ["C[C@H](N)O |&1:1,r|", "CCO |c:0,2|", "CCO |(0,0,;1,0,;2,0,)|", "CCO |$A;;C$,r|", "CCO |atomProp:0.key.value|",
     "C[C@H](N)O |o1:1,(0,0,;1,0,;2,0,;1,1,)|", " CCO\n", "\tCCO "],
)  # fmt: skip
def test_an_extension_that_leaves_the_graph_as_it_is_is_read(text: str) -> None:
    plain = parse(text.split()[0])
    assert isinstance(plain, Molecule)
    assert parse(text) == plain


@pytest.mark.parametrize("text", ["", "  ", "\n"])
def test_blanks_are_no_smiles(text: str) -> None:
    assert readable(text) == Reject("empty_smiles", "")


@needs_mirror
@pytest.mark.parametrize("name", ["esol", "bbbp"])
def test_nothing_that_rdkit_reads_whole_is_newly_refused(name: str) -> None:
    dataset = catalog.datasets()[name]
    source = next(source for source in dataset.sources if source.kind == "mirror")
    table = pd.read_csv(Path(os.environ["ROFTMOL_MIRROR"]) / source.file)
    texts = table[source.columns.get(dataset.smiles, dataset.smiles)].tolist()
    with rdBase.BlockLogs():
        read = [text for text in texts if Chem.MolFromSmiles(text)]
    assert len(read) > 1000
    assert [text for text in read if fault_around(text)] == []
