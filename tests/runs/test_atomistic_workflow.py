"""The workflow on a user's own structures: an experiment with a model of atoms in space, by `snakemake`, to its report.

The molecules are small, their geometries embedded here; the label is a function of these.
"""

from __future__ import annotations

import json
import shutil
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from rdkit import Chem
from rdkit.Chem import AllChem, Crippen, Descriptors3D

from published_encoders import so3lr_weights
from roftmol.cli.main import main
from roftmol.data import conformers, molecules
from roftmol.registry.catalog import Dataset
from roftmol.tables import schemas
from workspaces import ENDS, Workspace, job_counts

# fmt: off
#: One to six heavy atoms; as many molecules as make each of BOOM's two tests more than one.
SMILES = [
    "C", "CC", "CCC", "CCCC", "CCCCC", "CC(C)C", "CC(C)(C)C", "C=C", "CC=C", "C=CC=C", "C#C", "CC#C", "O", "CO",
    "CCO", "CC(C)O", "COC", "OCCO", "C=O", "CC=O", "CC(C)=O", "OC=O", "CC(O)=O", "N", "CN", "CCN", "CNC", "CN(C)C",
    "NCCN", "C#N", "CC#N", "NC=O", "CC(N)=O", "CF", "CCF", "FCF", "FC(F)F", "FCCO", "C1CC1", "C1CCC1", "C1CO1",
    "c1ccccc1", "NCCO", "C=CF",
]
#: What forces are taken of. The first dozen are among the molecules, written otherwise.
CORPUS = [
    "OCC", "C(C)#N", "C(N)C", "C(F)C", "C(=O)C", "C1=CC=CC=C1", "C(=O)(C)C", "OC", "N(C)(C)C", "C1OC1", "C(O)CN",
    "C(CO)F", "CCCO", "CCCN", "CCCF", "CCOC", "CCC=O", "CCC#N", "CCNC", "OCC=O", "NCC#N", "NCC=O", "COC=O", "CNC=O",
    "C=CC=O", "C=CC#N", "OCC#N", "FCC#N", "FCC=O", "CC=NO", "CON", "NN", "C1CCO1", "C1CN1", "CC1CC1", "C1CCNC1",
    "CC#CC", "FC=CF", "CC(C)F", "OCF",
]
# fmt: on
METHODS = [
    *("full_ft", "linear_probing", "mft", "mft_same_steps", "mft_wise", "wise_ft", "dwise_ft"),
    *("layerwise_decay", "scratch", "fingerprint"),
]
ENTRY = {"path": "mine.extxyz", "labels": ["gyration"], "task": "regression"}
RUNS = Path("results/runs/honest/so3lr/mine/boom-20")
FORCES = Path("results/forces/gfn2.parquet")
SMALL: dict[str, Any] = {
    "splits": ["boom"],
    "budgets": [20],
    "training": {"steps": 6, "batch_size": 8},
    "landscape": False,
}

pytestmark = pytest.mark.skipif(util.find_spec("so3krates_torch") is None, reason="so3krates-torch is not installed")


def config(**changes: Any) -> dict[str, Any]:
    """The experiment, with SO3LR's weights from the installed package."""
    return {
        **SMALL,
        "models": ["so3lr"],
        "datasets": ["mine"],
        "own_datasets": {"mine": ENTRY},
        "methods": METHODS,
        "seeds": [0],
        "grids": {
            "wise_ft": {"alpha": [0, 0.5, 1]},
            "mft_wise": {"alpha": [0, 0.5, 1]},
            "dwise_ft": {"start": [0.5]},
            "layerwise_decay": {"decay": [0.65]},
        },
        "auxiliary": {"force_molecules": 8, "conformers": 2},
        "files": {"so3lr": str(so3lr_weights()), "zinc250k": "list.smi"},
    } | changes


def configure(workspace: Workspace, changed: dict[str, Any]) -> None:
    (workspace.folder / "own.yaml").write_text(yaml.safe_dump(changed))


def embedded(smiles: str) -> Chem.Mol:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert AllChem.EmbedMolecule(mol, randomSeed=7) == 0
    return mol


def gyration(mol: Chem.Mol) -> str:
    """The label: the radius of gyration in A."""
    return f"{Descriptors3D.RadiusOfGyration(mol):.6f}"


def as_xyz(mols: list[Chem.Mol]) -> str:
    """Structures without SMILES, each with its label."""
    blocks = [Chem.MolToXYZBlock(mol).splitlines() for mol in mols]
    return "".join(
        "\n".join([head, f"Properties=species:S:1:pos:R:3 gyration={gyration(mol)}", *atoms]) + "\n"
        for (head, _, *atoms), mol in zip(blocks, mols, strict=True)
    )


def as_sdf(mols: list[Chem.Mol]) -> str:
    return "".join(f"{Chem.MolToMolBlock(mol)}>  <gyration>\n{gyration(mol)}\n\n$$$$\n" for mol in mols)


def blocks(smiles: list[str]) -> set[str]:
    """The first blocks of the InChIKeys."""
    return {Chem.MolToInchiKey(Chem.MolFromSmiles(text)).split("-")[0] for text in smiles}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A run from end to end; tests that change something work on a copy."""
    workspace = Workspace(tmp_path_factory.mktemp("atomistic"))
    (workspace.folder / "mine.extxyz").write_text(as_xyz([embedded(smiles) for smiles in SMILES]))
    (workspace.folder / "list.smi").write_text("\n".join(CORPUS))
    configure(workspace, config())
    workspace.make()
    return workspace


@pytest.fixture
def copy(finished: Workspace, tmp_path: Path) -> Workspace:
    shutil.copytree(finished.folder, tmp_path / "copy")
    return Workspace(tmp_path / "copy")


def table(workspace: Workspace, name: str) -> pd.DataFrame:
    return schemas.read(name, workspace.folder / f"results/tables/{name}.parquet")


def parts(workspace: Workspace, method: str) -> dict[str, int]:
    """The finished fits of a method, with the times when they were written."""
    return {path.name: path.stat().st_mtime_ns for path in (workspace.folder / RUNS / method / "parts").glob("[!.]*")}


# -- from structures to a report -------------------------------------------------------------------------------------


def test_structures_become_a_report(finished: Workspace):
    page = (finished.folder / "results/report.html").read_text()
    for title in ("MFT (same steps)", "MFT + WiSE", "Layer-wise decay", "so3lr"):
        assert title in page
    summary = table(finished, "summary")
    assert set(summary["method"]) == set(METHODS)
    assert (summary["failed"] == 0).all()
    assert np.isfinite(summary["mean"]).all()


def test_every_method_predicts_for_both_tests_and_has_a_shift(finished: Workspace):
    splits = schemas.read("splits", finished.folder / "results/splits/honest/mine/boom-20.parquet")
    expected = {key: set(rows) for key, rows in splits.groupby(["seed", "role"])["molecule"]}
    found = table(finished, "predictions").groupby(["method", "seed", "partition"])["molecule"]
    predicted = {key: set(rows) for key, rows in found}
    assert len(expected[0, "test_id"]) > 1
    for method in METHODS:
        for partition in ("valid", "test", "test_id"):
            assert predicted[method, 0, partition] == expected[0, partition]
    shift = table(finished, "shift")
    assert set(shift["method"]) == set(METHODS)
    assert set(shift["reference"]) == {"test_id"}
    assert np.isfinite(shift[["reference_mean", "shifted_mean", "drop"]]).all(axis=None)


def test_the_rarest_labels_are_the_test_out_of_distribution(finished: Workspace):
    molecules = schemas.read("molecules", finished.folder / "results/data/mine/molecules.parquet")
    assert molecules["canonical"].tolist() == [Chem.CanonSmiles(text) for text in SMILES]
    labels = np.array([row[0] for row in molecules["labels"]])
    predictions = table(finished, "predictions")
    inside = labels[predictions.loc[predictions["partition"] == "test_id", "molecule"].unique()]
    rare = labels[predictions.loc[predictions["partition"] == "test", "molecule"].unique()]
    assert np.abs(rare - np.median(labels)).min() > np.abs(inside - np.median(labels)).max()


def test_every_methods_loss_of_forces_is_measured(finished: Workspace):
    """None where there is no force field: the fingerprint's, and that of random weights."""
    changes = table(finished, "changes")
    drift = changes[changes["quantity"] == "force_drift"]
    assert set(drift["method"]) == set(METHODS) - {"scratch", "fingerprint"}
    lost = drift.groupby("method")["value"]
    assert lost.max()["linear_probing"] == 0
    assert (lost.min()[["full_ft", "mft", "mft_same_steps", "layerwise_decay"]] > 0).all()
    drift = drift.set_index(["method", "seed", "setting"])["value"]
    mixed = table(finished, "changes").query("method in ('wise_ft', 'mft_wise') and quantity == 'force_drift'")
    for method, seed, setting, value in mixed[["method", "seed", "setting", "value"]].itertuples(index=False):
        alpha = json.loads(setting)["alpha"]
        tuned = drift[{"wise_ft": "full_ft", "mft_wise": "mft"}[method], seed].item()
        assert value == 0 if alpha == 0 else value > 0
        assert alpha < 1 or value == pytest.approx(tuned, rel=1e-5)


def test_no_forces_on_a_molecule_of_the_data(finished: Workspace):
    """By formula and connections, whichever way the corpus writes it."""
    labels = schemas.read("force_labels", finished.folder / FORCES)
    assert set(labels["status"]) == {"ok"}
    assert labels["inchikey"].nunique() == 8
    known = blocks(SMILES)
    assert len(known & blocks(CORPUS)) == 12
    assert set(CORPUS) & {Chem.CanonSmiles(text) for text in SMILES} == set()
    assert known.isdisjoint(key.split("-")[0] for key in labels["inchikey"])


def test_the_results_agree_with_themselves(finished: Workspace, capsys: pytest.CaptureFixture[str]):
    main(["verify", str(finished.folder / "results")])
    told = capsys.readouterr().out
    assert f"runs {len(METHODS)}" in told
    assert "all agree" in told


# -- what runs again -------------------------------------------------------------------------------------------------


def test_a_second_run_does_nothing(finished: Workspace):
    done = finished.run("--cores", "2")
    assert done.returncode == 0
    assert "Nothing to be done" in done.stdout + done.stderr


def test_another_source_of_forces_fits_mft_alone_again(copy: Workspace):
    """The geometries are the same, the forces the frozen model's own; mft_wise mixes what is fitted again."""
    configure(copy, config(auxiliary={"forces": "self", "force_molecules": 8, "conformers": 2}))
    dry = copy.run("--dry-run")
    assert job_counts(dry) == {"finetune": 2, "interpolate": 1, **ENDS}
    told = dry.stdout + dry.stderr
    for method in METHODS:
        assert (f"boom-20: {method}\n" in told) == method.startswith("mft"), method


def test_another_seed_keeps_the_finished_fits(copy: Workspace):
    before = {method: parts(copy, method) for method in ("mft", "mft_wise")}
    configure(copy, config(seeds=[0, 1]))
    assert copy.jobs() == {"split": 1, "baseline": 1, "finetune": 6, "interpolate": 3, **ENDS}
    copy.make(str(RUNS / "mft_wise" / "fits.parquet"))
    for method, kept in before.items():
        now = parts(copy, method)
        assert kept.items() < now.items(), method
        assert len(now) == 2 * len(kept)
    fits = schemas.read("fits", copy.folder / RUNS / "mft_wise" / "fits.parquet")
    assert set(fits["seed"]) == {0, 1}


# -- what is wrong with a file or a configuration --------------------------------------------------------------------


def test_an_sdf_says_the_same(tmp_path: Path):
    mols = [embedded(smiles) for smiles in SMILES]
    read = {}
    for form, text in (("extxyz", as_xyz(mols)), ("sdf", as_sdf(mols))):
        (tmp_path / f"mine.{form}").write_text(text)
        entry = Dataset.from_dict({**ENTRY, "name": "mine", "path": f"mine.{form}"})
        kept, rejects, _ = molecules.read(tmp_path / f"mine.{form}", entry, max_rejected=0)
        assert rejects.empty
        read[form] = kept, conformers.read(tmp_path / f"mine.{form}", kept, entry)
    (xyz, in_xyz), (sdf, in_sdf) = read.values()
    pd.testing.assert_frame_equal(xyz, sdf)
    for column, tolerance in (("numbers", 0), ("positions", 1e-4)):
        for one, other in zip(in_xyz[column], in_sdf[column], strict=True):
            np.testing.assert_allclose(one, other, atol=tolerance)


def test_an_element_that_the_model_does_not_know_ends_the_run_with_its_row(tmp_path: Path, capsys):
    workspace = Workspace(tmp_path)
    (tmp_path / "mine.extxyz").write_text(as_xyz([embedded(smiles) for smiles in [*SMILES[:3], "C[SiH3]"]]))
    (tmp_path / "list.smi").write_text("C\n")
    configure(workspace, config())
    graphs = "results/data/mine/graphs/geometry.safetensors"
    done = workspace.run("--cores", "2", graphs)
    message = "dataset mine, record 3, 'C[SiH3]': it has Si; models of atoms in space are given H, C, N, O, F, P, S, Cl"
    assert done.returncode != 0
    assert message in done.stdout + done.stderr
    assert not (tmp_path / graphs).exists()
    data = tmp_path / "results/data/mine"
    tables = [word for name in ("molecules", "conformers") for word in (f"--{name}", str(data / f"{name}.parquet"))]
    with pytest.raises(SystemExit) as ended:
        main(["featurize", "--settings", '{"featurizer": "geometry"}', *tables, "--out", str(tmp_path / "out")])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


FLAT = {"path": "mine.csv", "smiles": "SMILES", "labels": ["logP"], "task": "regression"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"own_datasets": {"mine": FLAT}}, "models: so3lr reads geometries, and these datasets have none: mine"),
        (
            {"models": ["minimol"], "own_datasets": {"mine": FLAT}},
            "methods: mft goes on masking atoms, and minimol has no mask; leave out one of the two",
        ),
    ],
)
def test_what_does_not_go_together_is_told_before_anything_runs(change: dict[str, Any], told: str, tmp_path: Path):
    workspace = Workspace(tmp_path)
    write_flat(tmp_path)
    configure(workspace, config(**change))
    done = workspace.run("--cores", "2")
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists()


# -- molecular graphs ------------------------------------------------------------------------------------------------


def write_flat(folder: Path) -> None:
    """The molecules without geometries, with their computed logP, and the corpus."""
    rows = [(text, Crippen.MolLogP(Chem.MolFromSmiles(text))) for text in SMILES]
    pd.DataFrame(rows, columns=["SMILES", "logP"]).to_csv(folder / "mine.csv", index=False)
    (folder / "list.smi").write_text("\n".join(CORPUS))


def test_masking_goes_on_beside_a_property_of_graphs(tmp_path: Path):
    workspace = Workspace(tmp_path)
    write_flat(tmp_path)
    changed = {
        **SMALL,
        "models": ["gin-zinc-masking"],
        "datasets": ["mine"],
        "own_datasets": {"mine": FLAT},
        "methods": ["full_ft", "mft"],
        "seeds": [1],  # in whose first batch the second task has a turn; of seed 0 it has none before the fourth
        "training": {"steps": 4, "batch_size": 8},
        "auxiliary": {"molecules": 20},
        "files": {"zinc250k": "list.smi"},
    }
    configure(workspace, changed)
    workspace.make("results/tables/predictions.parquet", "results/tables/changes.parquet")
    found = schemas.read("pretraining", tmp_path / "results/auxiliary/molecules.parquet")["smiles"]
    assert len(found) == 20
    assert set(found) <= {Chem.CanonSmiles(text) for text in CORPUS} - {Chem.CanonSmiles(text) for text in SMILES}
    predictions = table(workspace, "predictions").query("partition == 'test'").set_index("method")["prediction"]
    assert set(predictions.index) == {"full_ft", "mft"}
    assert not np.allclose(*(np.stack(predictions[name]) for name in ("full_ft", "mft")))
    assert not table(workspace, "changes")["quantity"].str.startswith("force").any()
