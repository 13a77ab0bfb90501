"""What comes from elsewhere, or from a user, runs no code, writes nowhere else and is only text on a page."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import zipfile
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from rdkit import Chem
from rdkit.Chem import Crippen

import made_up_tables
from roftmol import figures, report
from roftmol.cli.main import main
from roftmol.core.errors import UserError
from roftmol.core.files import sha256
from roftmol.data.download import fetch
from roftmol.deploy.verdict import VerdictSettings, judge
from roftmol.encoders.gnn import Architecture
from roftmol.experiment.config import experiment
from roftmol.registry import catalog
from roftmol.registry.catalog import Archive, Source
from roftmol.report import recommendation
from roftmol.tables import schemas
from small_dataset import SMILES

ROOT = Path(__file__).parents[2]
MARKUP = '<script>alert("x")</script><img src=x onerror=alert(1)>\'"&'
OWN_MODEL = {
    **{"code": "mine.csv", "weights": "mine.csv", "embed": [], "blocks": [["a"]], "readout": []},
    **{"pooling": "mean", "pretraining": "self-supervised"},
}
#: What a shell would run, were it to see it.
COMMAND = "$(touch pwned) `touch pwned` ; touch pwned ' \" | & \\"


class _Malice:
    """Runs a command when it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch pwned",)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("architecture", ["gin", "own"])
def test_downloaded_weights_cannot_run_code(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    legacy: bool,
    architecture: str,
):
    """Through the command that fetches them, as a zip archive and in the old format, for our encoders and a user's."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.pth").write_bytes(pickle.dumps(_Malice()))
    if not legacy:
        torch.save({"weight": _Malice()}, tmp_path / "weights.pth")
    (tmp_path / "model.py").write_text("import torch\ndef build():\n    return torch.nn.Linear(2, 2)\n")
    source = {"kind": "path", "file": "weights.pth"}
    own = {"kind": "own", "code": "model.py", "embed": [], "blocks": [["weight"]], "readout": [], "pooling": "mean"}
    entry = {
        "name": "evil",
        "architecture": own if architecture == "own" else {"kind": "gin", **asdict(Architecture("gin", 2, 16))},
        "sources": [source],
        "pretraining": "none",
    }
    paths = ("--archives", "archives", "--out", "out.safetensors")
    with pytest.raises(SystemExit) as ended:
        main(["fetch-checkpoint", "--settings", json.dumps(entry), *paths])
    said = capsys.readouterr().err
    assert ended.value.code == 2, said
    assert "error: " in said
    assert "was not run" in said
    assert not (tmp_path / "pwned").exists()
    assert not (tmp_path / "out.safetensors").exists()


def test_a_member_of_an_archive_cannot_choose_where_it_goes(tmp_path: Path):
    cache, out = tmp_path / "a" / "cache", tmp_path / "a" / "out" / "source"
    cache.mkdir(parents=True)
    wheel = tmp_path / "evil.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("../../escaped.csv", "x")
        archive.writestr("/tmp/absolute.csv", "x")
    known = Archive("evil", "1.0", sha256(wheel))
    wheel.rename(cache / f"evil-1.0-{known.sha256[:16]}.whl")
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    for member in ("../../escaped.csv", "/tmp/absolute.csv"):
        fetch([Source("package", member, archive=known)], out, mirror=None, name="evil", archives=cache)
        assert out.read_text() == "x"
    assert {path for path in tmp_path.rglob("*") if path.is_file()} - before == {out}


@pytest.mark.parametrize("name", ["../../x", "/x", "a/b", "..", ".hidden", "a b", "$(x)", "", "a\nb", "-x"])
@pytest.mark.parametrize("key", ["own_datasets", "own_models", "name"])
def test_a_name_cannot_lead_out_of_the_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, name: str):
    monkeypatch.chdir(tmp_path)
    write_molecules(tmp_path / "mine.csv")
    own = {"path": "mine.csv", "smiles": "SMILES", "labels": ["logP"], "task": "regression"}
    config: dict[str, object]
    if key == "own_datasets":
        config = {"own_datasets": {name: own}, "datasets": [name]}
    elif key == "own_models":
        config = {"own_models": {name: OWN_MODEL}, "models": [name]}
    else:
        config = {"data": "mine.csv", "name": name}
    with pytest.raises(UserError, match="name"):
        experiment(config)


@pytest.mark.parametrize("key", ["models", "datasets", "methods", "splits", "protocols"])
def test_only_known_names_make_paths(key: str):
    with pytest.raises(UserError, match=key):
        experiment({key: ["../../x"]})


@pytest.mark.parametrize("sign", "{}<>*?")
@pytest.mark.parametrize("key", ["data", "own_datasets", "own_models", "files"])
def test_a_path_means_nothing_to_snakemake(tmp_path: Path, key: str, sign: str):
    path = str(tmp_path / f"a{sign}b.csv")
    write_molecules(Path(path))
    own = {"path": path, "smiles": "SMILES", "labels": ["logP"], "task": "regression"}
    config = {
        "data": {"data": path},
        "own_datasets": {"own_datasets": {"mine": own}},
        "own_models": {"own_models": {"mine": OWN_MODEL | {"code": path, "weights": path}}},
        "files": {"files": {"esol": path}},
    }[key]
    with pytest.raises(UserError, match=f"{key}.*rename the file"):
        experiment(config)


def test_no_shell_sees_what_a_user_wrote(tmp_path: Path):
    """A file and columns whose names would be commands, through the rules that read them."""
    path = tmp_path / f"{COMMAND.replace('/', '')}.csv"
    write_molecules(path, label=COMMAND)
    own = {"path": path.name, "smiles": "SMILES", "labels": [COMMAND], "task": "regression"}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({"own_datasets": {"mine": own}, "datasets": ["mine"]}))
    snakemake = [Path(sys.executable).with_name("snakemake"), "--snakefile", ROOT / "Snakefile", "--cores", "1"]
    done = subprocess.run(
        [*snakemake, "--configfile", "own.yaml", "--", "results/data/mine/molecules.parquet"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert schemas.read("tasks", tmp_path / "results/data/mine/tasks.parquet")["name"].tolist() == [COMMAND]
    assert not list(tmp_path.rglob("pwned"))


class _Elements(HTMLParser):
    """The elements of a page that run or load something, and attributes that do."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts = 0
        self.images: list[str] = []
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.images += [value or "" for name, value in attrs if tag == "img" and name == "src"]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


def test_a_page_shows_markup_as_text(tmp_path: Path):
    """In SMILES, reasons, notes and names of datasets, columns, models and settings, on both pages."""
    data = made_up_tables.data_tables(MARKUP, "regression", name=MARKUP)
    for column in ("smiles", "reason", "detail"):
        data["rejects"][column] = MARKUP
    values = {"full_ft": [0.7, 0.8], "linear_probing": [0.5, 0.6], "fingerprint": [0.7, 0.9]}
    selected = made_up_tables.selected_rows(
        values, dataset=MARKUP, model=MARKUP, metric="rmse", split="cv", budget="all"
    )
    selected["note"] = MARKUP
    tested = selected.assign(partition="test", molecule=0, prediction=[[0.5]] * len(selected), spread=None)
    predictions = tested[schemas.schema("predictions").names]
    tables = made_up_tables.write_tables(tmp_path / "tables", selected, predictions=predictions, **data)
    figures.draw(tables, tmp_path / "figures")
    report.build(tables, tmp_path / "figures", {MARKUP: MARKUP}, tmp_path / "report.html")
    ranking, verdict = judge(
        selected,
        schemas.read("timings", tables / "timings.parquet"),
        VerdictSettings(MARKUP, MARKUP, "regression", "rmse", "cv"),
    )
    schemas.write("ranking", ranking, tmp_path / "ranking.parquet")
    (tmp_path / "verdict.json").write_text(json.dumps(verdict))
    bundle = tmp_path / f"{MARKUP.replace('/', '')}.roftmol"
    recommendation.build(tables, tmp_path / "verdict.json", bundle, {MARKUP: MARKUP}, tmp_path / "recommendation.html")
    for page in ("report.html", "recommendation.html"):
        text = (tmp_path / page).read_text()
        found = _Elements()
        found.feed(text)
        assert "&lt;script&gt;" in text
        assert found.scripts == 1, page  # the page's own
        assert all(image.startswith("data:image/svg+xml;base64,") for image in found.images)
        assert found.handlers == []
    for drawn in (tmp_path / "figures").glob("*.svg"):
        assert "<script>" not in drawn.read_text()


def test_every_licence_is_listed():
    lines = (ROOT / "docs" / "licences.md").read_text().splitlines()
    rows = {cells[1]: cells[2] for line in lines if len(cells := [cell.strip() for cell in line.split("|")]) == 5}
    entries = {**catalog.datasets(), **catalog.checkpoints(), **catalog.corpora()}
    assert rows.keys() - {"dataset", "checkpoint", "corpus", "---"} == entries.keys()
    for entry in (*catalog.datasets().values(), *catalog.checkpoints().values(), *catalog.corpora().values()):
        said = " ".join(entry.licence.split())
        assert said
        assert any(f"| {entry.name} | {said} |" in line for line in lines), entry.name


def write_molecules(path: Path, label: str = "logP") -> None:
    rows = [(text, Crippen.MolLogP(Chem.MolFromSmiles(text))) for text in SMILES]
    pd.DataFrame(rows, columns=["SMILES", label]).to_csv(path, index=False)
