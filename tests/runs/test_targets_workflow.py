"""A recommendation for two targets of one file, one of which the structures do not decide about."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from rdkit import Chem
from rdkit.Chem import Crippen

from roftmol import read_bundle
from roftmol.data import parents
from roftmol.tables import schemas
from small_dataset import SMILES
from workspaces import Workspace, recommend_in

MOLECULES = [*SMILES, *(f"{'C' * length}{end}" for length in range(3, 11) for end in "ONF"), "CCCN.Cl"]
#: A run as short as can be, as keys of the command and in a file.
KEYS = ("methods=[joint_ft]", "training={epochs: 1}", "recommend={resamplings: 5, members: 2}", "duplicates=drop")
TARGETS = ("logP", "drawn")
RESULTS = Path("results/recommendation/mine")


@dataclass(frozen=True)
class Recommended:
    """A folder where a recommendation was made, and what was said."""

    folder: Path
    done: subprocess.CompletedProcess[str]

    @property
    def results(self) -> Path:
        return self.folder / RESULTS


@pytest.fixture(scope="module")
def recommended(tmp_path_factory: pytest.TempPathFactory) -> Recommended:
    folder = tmp_path_factory.mktemp("targets")
    rng = np.random.default_rng(0)
    values = [f"{Crippen.MolLogP(Chem.MolFromSmiles(text)):.3f}" for text in MOLECULES]
    values[3] = values[10] = ""
    drawn = [str(number % 2) for number in range(len(MOLECULES))]
    rng.shuffle(drawn)
    drawn[5] = ""
    lines = [",".join(cells) for cells in zip(MOLECULES, values, drawn, strict=True)]
    (folder / "mine.csv").write_text("\n".join(["smiles,logP,drawn", *lines]))
    given = {key: yaml.safe_load(value) for key, value in (one.split("=", 1) for one in KEYS)}
    (folder / "own.yaml").write_text(yaml.safe_dump({**given, "data": "mine.csv", "target": [*TARGETS]}))
    named = [word for target in TARGETS for word in ("--target", target)]
    return Recommended(folder, recommend_in(folder, "mine.csv", *KEYS, *named, "--cores", "1")[0])


def test_the_last_words_are_a_line_a_target_and_how_to_predict(recommended: Recommended) -> None:
    done = recommended.done
    assert done.returncode == 0, done.stderr
    assert "2 targets; records with a label of each: " in done.stderr
    for target in ("logp", "drawn"):
        assert f"FIRST VERDICT on {target}, from heads and references:" in done.stderr
    logp, drawn, page, model = done.stdout.splitlines()
    assert logp.startswith("logP: take ")
    assert drawn.startswith("drawn: cannot be predicted from these structures with ")
    assert f"{RESULTS}/report.html" in page
    assert model.endswith(f" predict {RESULTS}/mine.roftmol new.csv -o predicted.csv")


def test_each_target_has_the_results_that_a_target_alone_has(recommended: Recommended) -> None:
    page = (recommended.results / "report.html").read_text()
    for folder, target in (("logp", "logP"), ("drawn", "drawn")):
        of = recommended.results / folder
        verdict = json.loads((of / "verdict.json").read_text())
        assert (verdict["name"], verdict["target"], verdict["split"]) == (f"mine-{folder}", target, "joint_cv")
        for name in ("report.html", "evidence.html", "first/report.html", f"first/mine-{folder}.roftmol"):
            assert (of / name).is_file()
        assert set(schemas.read("ranking", of / "ranking.parquet")["method"]) >= {"joint_ft", "hybrid", "constant"}
        assert set(schemas.read("summary", of / "tables/summary.parquet")["dataset"]) == {f"mine-{folder}"}
        assert f'href="{folder}/report.html"' in page


def test_a_substance_tests_both_targets_or_none(recommended: Recommended) -> None:
    tables = []
    for dataset in ("mine-logp", "mine-drawn"):
        split = schemas.read("splits", recommended.folder / f"results/splits/honest/{dataset}/joint_cv-all.parquet")
        molecules = schemas.read("molecules", recommended.folder / f"results/data/{dataset}/molecules.parquet")
        tables.append(split.merge(molecules, on=["dataset", "molecule"]))
    union = pd.concat(tables, ignore_index=True)
    union["substance"] = parents.groups(union)
    tested = union[union["role"] == "test"]
    assert tested.groupby("substance")["seed"].nunique().eq(1).all()
    assert len(tested["substance"].unique()) < tested["molecule"].count() / 2


def test_one_model_predicts_all_targets(recommended: Recommended) -> None:
    model = read_bundle(recommended.results / "mine.roftmol")
    found = model.predict(["CCO", "c1ccccc1"])
    assert {"logP_prediction", "logP_low", "drawn_probability"} <= set(found.columns)
    alone = read_bundle(recommended.results / "logp/mine-logp.roftmol").predict(["CCO", "c1ccccc1"])
    np.testing.assert_array_equal(found["logP_prediction"], alone["prediction"])
    assert found["drawn_probability"].nunique() == 1


def test_a_second_start_has_nothing_to_do(recommended: Recommended) -> None:
    dry = Workspace(recommended.folder).run("--dry-run", "recommend")
    assert dry.returncode == 0, dry.stderr
    assert "Nothing to be done" in dry.stdout + dry.stderr
