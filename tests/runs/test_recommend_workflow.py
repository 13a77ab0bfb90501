"""One recommendation in four starts: interrupted, gone on with by `snakemake`, ended and told again by the command."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import yaml
from markupsafe import escape
from rdkit import Chem
from rdkit.Chem import Crippen

from roftmol import read_bundle
from roftmol.tables import schemas
from small_dataset import SMILES
from workspaces import ROOT, Workspace, recommend_in

MOLECULES = [*SMILES, *(f"{'C' * length}{end}" for length in range(3, 11) for end in "ONF")]
#: A run as short as can be, as keys of the command and in a file.
KEYS = ("methods=[linear_probing, fingerprint]", "training={epochs: 2}", "recommend={resamplings: 5, members: 2}")
CONFIG = {key: yaml.safe_load(value) for key, value in (one.split("=", 1) for one in KEYS)}
HEADS = {"hybrid", "classical", "descriptors", "fingerprint", "constant"}
MODEL = Path("results/recommendation/my-data/my-data.roftmol")
PAGE = "The recommendation is results/recommendation/my-data/report.html: open it in a browser, for example: xdg-open "

Done = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Recommended:
    """A folder where a recommendation was made, and what each start said."""

    folder: Path
    stopped: Done  #: by Ctrl-C
    read: list[int]  #: when the molecules were written, after each start
    judged: Done  #: to the verdict, by `snakemake`
    done: Done  #: to the end, saying nothing else
    again: Done  #: saying what each job says

    @property
    def results(self) -> Path:
        return self.folder / MODEL.parent

    @property
    def verdict(self) -> list[str]:
        sentences: list[str] = json.loads((self.results / "verdict.json").read_text())["sentences"]
        return sentences


@pytest.fixture(scope="module")
def recommended(tmp_path_factory: pytest.TempPathFactory) -> Recommended:
    folder = tmp_path_factory.mktemp("recommended")
    lines = [f"{text},{Crippen.MolLogP(Chem.MolFromSmiles(text)):.3f}" for text in MOLECULES]
    (folder / "my data.csv").write_text("\n".join(["smiles,log<i>P", *lines]))
    (folder / "own.yaml").write_text(yaml.safe_dump({**CONFIG, "data": "my data.csv"}))
    arguments = ("my data.csv", *KEYS, "--cores", "2")
    molecules = folder / "results/data/my-data/molecules.parquet"
    read = []

    def noted(done: Done) -> Done:
        read.append(molecules.stat().st_mtime_ns)
        return done

    return Recommended(
        folder,
        stopped=noted(recommend_in(folder, *arguments, ready=lambda line: line.startswith("[5/"))[0]),
        read=read,
        judged=noted(
            Workspace(folder).run(
                *("--cores", "2", "--rerun-incomplete"),
                *(str(MODEL.with_name("first") / "report.html"), str(MODEL.with_name("verdict.json"))),
            )
        ),
        done=noted(recommend_in(folder, *arguments, "-q")[0]),
        again=noted(recommend_in(folder, *arguments, "-v")[0]),
    )


def test_ctrl_c_ends_a_run_that_the_same_command_goes_on_with(recommended: Recommended):
    stopped, done, again = recommended.stopped, recommended.done, recommended.again
    lines = stopped.stderr.splitlines(keepends=True)
    assert stopped.returncode == 130, stopped.stderr
    assert stopped.stdout == ""
    assert lines[0].startswith("target `log<i>P`, regression, ")
    assert re.fullmatch(r"\[1/\d+\] Fetch .*\n", next(line for line in lines if line.startswith("[")))
    assert lines[-1] == "interrupted: what is finished is kept, and the same command goes on from there.\n"
    assert lines[-2].startswith("[")

    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    *sentences, page, model = done.stdout.splitlines()
    assert sentences == recommended.verdict
    assert page.startswith(PAGE)
    assert model.endswith(f" predict {MODEL} new.csv -o predicted.csv")
    assert len(set(recommended.read)) == 1

    assert again.returncode == 0
    assert again.stdout == done.stdout
    assert not any(line.startswith("[") for line in again.stderr.splitlines())


def test_the_first_verdict_comes_before_any_fine_tuning(recommended: Recommended):
    """From the same fits, with a page and a model of its own; both ways are asked for, and the scheduler decides."""
    judged, folder = recommended.judged, recommended.results
    assert judged.returncode == 0, judged.stderr
    assert "FIRST VERDICT" in judged.stdout
    (tuned,) = (recommended.folder / "results/runs").rglob("linear_probing/fits.parquet")
    assert (folder / "first/report.html").stat().st_mtime < tuned.stat().st_mtime
    first = schemas.read("ranking", folder / "first/ranking.parquet").set_index("method")["mean"]
    ranking = schemas.read("ranking", folder / "ranking.parquet").set_index("method")["mean"]
    assert set(first.index) == HEADS
    assert ranking[first.index].to_numpy() == pytest.approx(first.to_numpy())
    assert "This is the first verdict" in (folder / "first/report.html").read_text()
    assert "evidence.html" not in (folder / "first/report.html").read_text()
    assert read_bundle(folder / "first/my-data.roftmol").card["method"] in HEADS


def test_a_file_becomes_a_verdict_and_a_page(recommended: Recommended):
    folder = recommended.results
    assert json.loads((folder / "data.json").read_text()) == {"path": str(recommended.folder / "my data.csv")}
    page = (folder / "report.html").read_text()
    assert "log&lt;i&gt;P" in page
    assert "<i>P" not in page.replace("</i>P", "")
    # the page of the evidence says what the recommendation says, and no more
    evidence = (folder / "evidence.html").read_text()
    assert f'<p class="lead">{escape(recommended.verdict[0])}</p>' in evidence
    assert "No method is known to be better" not in evidence
    ranking = schemas.read("ranking", folder / "ranking.parquet")
    assert set(ranking["method"]) == {"linear_probing", *HEADS}
    assert ranking["chosen"].sum() == 1


def test_snakemake_says_the_verdict_and_where_page_and_model_lie(recommended: Recommended):
    done = Workspace(recommended.folder).run("--cores", "2", "recommend")
    assert done.returncode == 0, done.stderr
    assert "Nothing to be done" in done.stdout + done.stderr
    assert all(sentence in done.stderr + done.stdout for sentence in recommended.verdict)
    assert done.stderr.splitlines()[-2:] == [
        f"{PAGE}results/recommendation/my-data/report.html",
        f"The model is {MODEL}: predict with it: {Path(sys.executable).with_name('roftmol')} predict {MODEL} new.csv "
        "-o predicted.csv",
    ]


def test_the_model_predicts(recommended: Recommended, tmp_path: Path):
    table = recommended.folder / "my data.csv"
    command = [
        sys.executable,
        "-m",
        "roftmol",
        "predict",
        recommended.folder / MODEL,
        table,
        "-o",
        tmp_path / "out.csv",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow")}
    subprocess.run(list(map(str, command)), check=True, env=environment, capture_output=True)
    assert len(pd.read_csv(tmp_path / "out.csv").dropna(subset="log<i>P_prediction")) == len(MOLECULES)


def test_a_file_that_cannot_be_used_is_refused_before_that(recommended: Recommended):
    (recommended.folder / "few.csv").write_text("smiles,y\nC,1\nCC,2\n")
    done = Workspace(recommended.folder).run("--cores", "2", "recommend", "--config", "data=few.csv")
    assert done.returncode == 2
    assert "2 molecules with a label can be used, and a recommendation needs 20" in done.stderr
    assert not (recommended.folder / "results/recommendation/few").exists()
