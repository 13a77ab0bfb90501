"""What identifies a result: digests of code and of settings, and which edit repeats which fit (docs/reruns.md)."""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from roftmol.core import source_code
from roftmol.core.files import canonical_json
from roftmol.core.records import build, without_defaults
from roftmol.core.source_code import code_digest, sources
from roftmol.methods import METHODS
from roftmol.methods.base import Method
from roftmol.registry import catalog
from roftmol.registry.encoder_kinds import ENCODER_KINDS, encoder_kind
from roftmol.stages import STAGES, base
from roftmol.tasks.base import Metric, Primary, TaskType
from roftmol.training.cell import RunSettings
from roftmol.training.fit import TrainSettings
from roftmol.training.saved_fits import TOLD, FitIdentity, code_of_fit

ROOT = Path(__file__).parents[2]
CODE = '''"""A module."""

import math


def area(r: float) -> float:
    """Return the area of a circle."""
    return math.pi * r**2  # of radius r


class Shape:
    """A shape."""

    sides: int = 4
    "What lies between corners."
'''


def digest_of(folder: Path, text: str) -> str:
    """The digest of a module of this text."""
    (folder / "module.py").write_text(text)
    return code_digest([folder / "module.py"])


# -- code ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# of radius r", "# r is its radius"),
        ("  # of radius r", ""),
        ('"""A module."""', '"""Another text."""'),
        ('    """Return the area of a circle."""\n', ""),
        ('    """A shape."""\n', ""),
        ('    "What lies between corners."\n', ""),
        ("math.pi * r**2", "(math.pi  *  r ** 2)"),
        ("import math\n", "import math\n\n\n\n"),
    ],
)
def test_comments_docstrings_and_layout_do_not_count(tmp_path: Path, old: str, new: str):
    assert old in CODE
    assert digest_of(tmp_path, CODE.replace(old, new)) == digest_of(tmp_path, CODE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("r**2", "r**3"),
        ("r**2", "r**2.0"),
        ("sides: int = 4", "sides: int = True"),
        ("sides: int = 4", "sides: float = 4"),
        ("import math", "import numpy as math"),
        ("def area", "def surface"),
    ],
)
def test_code_counts(tmp_path: Path, old: str, new: str):
    assert old in CODE
    assert digest_of(tmp_path, CODE.replace(old, new)) != digest_of(tmp_path, CODE)


def test_arguments_can_be_left_out(tmp_path: Path):
    digests = []
    for text in ("M(a=1, b=2)", "M(a=1, b=3)", "M(a=2, b=2)", "N(a=1, b=2)", "N(a=1, b=3)"):
        (tmp_path / "module.py").write_text(text)
        digests.append(code_digest([tmp_path / "module.py"], (("M", frozenset({"b"})),)))
    assert digests[0] == digests[1]
    assert len(set(digests)) == 4


def test_what_readers_are_told_are_fields():
    classes = {kind.__name__: kind for kind in (Method, Metric, Primary, TaskType)}
    assert classes.keys() == dict(TOLD).keys()
    for name, told in TOLD:
        assert {item.name for item in fields(classes[name])} > told


def test_texts_that_something_is_done_with_count(tmp_path: Path):
    one, two = (digest_of(tmp_path, f"def f():\n    return {text}\n") for text in ("'a'", "'b'"))
    assert one != two
    assert digest_of(tmp_path, "x = f'{y}a'") != digest_of(tmp_path, "x = f'{y}b'")


def test_files_of_other_kinds_count_by_their_bytes(tmp_path: Path):
    digests = []
    for text in ("a: 1\n", "a: 1\n", "a: 1  # more\n"):
        (tmp_path / "table.yaml").write_text(text)
        digests.append(code_digest([tmp_path / "table.yaml"]))
    assert digests[0] == digests[1] != digests[2]


def test_neither_order_nor_times_of_files_count(tmp_path: Path):
    paths = [tmp_path / name for name in ("a.py", "b.py", "c.yaml")]
    for path in paths:
        path.write_text("x = 1\n")
    before = code_digest(paths)
    paths[0].touch()
    assert code_digest(reversed(paths)) == before


def test_what_versions_of_python_write_otherwise_does_not_count():
    """Fields that newer ones add, empty in what older ones can read; and how an f-string's texts are cut."""
    tree = ast.parse(CODE)
    plain = source_code._plain(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            node.__class__ = type(node.__class__.__name__, (node.__class__,), {})
            node._fields = (*node._fields, "type_params", "later")
            node.type_params, node.later = [], None  # type: ignore[attr-defined]
    assert source_code._plain(tree) == plain
    joined = ast.parse("f'{x}ab{y}'", mode="eval").body
    assert isinstance(joined, ast.JoinedStr)
    cut = ast.JoinedStr([*joined.values[:1], *map(ast.Constant, ["a", "", "b"]), *joined.values[2:], ast.Constant("")])
    assert source_code._plain(cut) == source_code._plain(joined)
    assert source_code._plain(ast.Constant("ä\U0001fae8")) == ["Constant", r"'\xe4\U0001fae8'"]


def test_what_was_read_off_a_file_is_taken_only_for_the_same_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path, parsed = tmp_path / "module.py", source_code._parsed
    read: list[bytes] = []

    def digest_in_a_new_process(text: str, uncounted: source_code.Uncounted = ()) -> str:
        path.write_text(text)
        source_code._at_hand.cache_clear()
        read.clear()
        return code_digest([path], uncounted)

    def noted(source: bytes, uncounted: source_code.Uncounted) -> Any:
        read.append(source)
        return parsed(source, uncounted)

    monkeypatch.setattr(source_code, "_parsed", noted)
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    one, other, second = "import a\nM(b=1)\n", "import a\nM(b=2)\n", (("M", frozenset({"b"})),)
    digests = [digest_in_a_new_process(one)]
    assert read
    assert digest_in_a_new_process(one) == digests[0]
    assert not read
    assert source_code.third_party([path]) == {"a"}
    # another text, other arguments that do not count, other code that reads it, a file that is damaged
    digests.append(digest_in_a_new_process(other))
    assert read
    assert digests[0] != digests[1]
    left_out = [digest_in_a_new_process(text, second) for text in (one, other)]
    assert left_out[0] == left_out[1]
    assert left_out[0] not in digests
    assert digest_in_a_new_process(other, (("M", frozenset({"c"})),)) == digests[1]
    monkeypatch.setattr(source_code, "THIS", b"")
    assert digest_in_a_new_process(other) == digests[1]
    assert read
    (kept,) = (tmp_path / "__pycache__").glob("*.all.json")
    for damage in (b"", b"[]", b"{}", b'{"of": 1}', kept.read_bytes()[:-9]):
        kept.write_bytes(damage)
        assert digest_in_a_new_process(other) == digests[1]
        assert read
    # a folder that cannot be written to, here since a file has its name
    shutil.rmtree(tmp_path / "__pycache__")
    (tmp_path / "__pycache__").touch()
    assert digest_in_a_new_process(one) == digests[0]


# -- which modules count ---------------------------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package, whose code is what is looked at."""
    copy = tmp_path / "roftmol"
    shutil.copytree(source_code.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "weights"))
    monkeypatch.setattr(source_code, "PACKAGE", copy)
    base._digest.cache_clear()
    yield copy
    base._digest.cache_clear()


def test_a_module_that_is_imported_by_a_name_made_at_run_time_counts_with_its_neighbours(package: Path):
    folder = package / "encoders"
    found = set(sources(["roftmol.encoders.kinds"]))
    assert set(folder.glob("*.py")) <= found
    chosen = sources(["roftmol.encoders.checkpoints", "roftmol.encoders.gnn"], leaves=["roftmol.encoders.kinds"])
    assert folder / "gnn.py" in chosen
    assert folder / "dpa.py" not in chosen
    (folder / "toy.py").write_text("import importlib\n\n\ndef get(name):\n    return importlib.import_module(name)\n")
    with pytest.raises(ValueError, match=r"import_module\(name\).*package\.\{name\}"):
        sources(["roftmol.encoders.toy"])


def test_no_encoder_and_no_featurizer_imports_another():
    """So that one may be edited, or its package be missing, without a thought for the others."""
    for folder, chosen in (
        ("encoders", {kind.file for kind in ENCODER_KINDS.values()}),
        ("features/featurizers", {kind.featurizer for kind in ENCODER_KINDS.values()}),
    ):
        files = {source_code.PACKAGE / folder / f"{name}.py" for name in chosen}
        for name in chosen:
            leaves = ("roftmol.features.featurizers", "roftmol.encoders.kinds")
            found = set(sources([f"roftmol.{folder.replace('/', '.')}.{name}"], leaves)) & files
            assert found == {source_code.PACKAGE / folder / f"{name}.py"}, name


# -- what an edit costs: docs/reruns.md ------------------------------------------------------------------------------

#: Fits by what makes their code differ: the method, the kind of encoder and of labels, whether there is a second task
#: or a probe.
FITS = {
    "full FT": ("full_ft", "gin", "regression", False),
    "full FT on classes": ("full_ft", "gin", "classification", False),
    "BSS": ("bss", "gin", "regression", False),
    "WiSE-FT": ("wise_ft", "gin", "regression", False),
    "MFT": ("mft", "gin", "regression", True),
    "joint FT": ("joint_ft", "gin", "regression", False),
    "full FT of DPA": ("full_ft", "dpa", "regression", True),
    "full FT of SO3LR": ("full_ft", "so3lr", "regression", True),
    "full FT of a user's own": ("full_ft", "own", "regression", False),
}
ALL, SECOND = set(FITS), {"MFT", "full FT of DPA", "full FT of SO3LR"}


def add_code(*files: str) -> Callable[[Path], None]:
    """An edit of code that does not change what it does."""

    def edit(package: Path) -> None:
        for file in files:
            assert (package / file).is_file(), file
            with open(package / file, "a") as stream:
                stream.write("\n_ADDED = 0\n")

    return edit


def reword(file: str, fields_of: dict[str, tuple[str, ...]]) -> Callable[[Path], None]:
    """An edit of what readers are told: these fields of a file's records, by class."""

    def edit(package: Path) -> None:
        path = package / file
        tree = ast.parse(path.read_text())
        reworded = set()
        for record in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            name = ast.unparse(record.func)
            for keyword in record.keywords:
                if keyword.arg in fields_of.get(name, ()):
                    keyword.value = ast.Constant("another")
                    reworded.add((name, keyword.arg))
        assert reworded == {(name, each) for name, names in fields_of.items() for each in names}
        path.write_text(ast.unparse(tree))

    return edit


def add_words(package: Path) -> None:
    """A comment in every file, and another first line of its docstring."""
    for path in package.rglob("*.py"):
        text = path.read_text()
        assert not text or text.startswith('"""'), path
        path.write_text(text.replace('"""', '"""Reworded. ', 1) + "# The end.\n" if text else text)


def add_files(package: Path) -> None:
    """A method, an encoder, a featurizer and a task type, with their lines in the tables."""
    for folder in ("methods", "encoders", "features/featurizers", "tasks"):
        (package / folder / "toy.py").write_text('"""A toy."""\n')
    tables = ("methods/__init__.py", "registry/encoder_kinds.py", "features/featurizers/__init__.py")
    add_code(*tables, "tasks/__init__.py")(package)


#: What is edited, as docs/reruns.md says it -> the edit, and whose fits are computed again.
EDITS: dict[str, tuple[Callable[[Path], None], set[str]]] = {
    "a comment, a docstring, the layout": (add_words, set()),
    "the code of a method": (add_code("methods/bss.py"), {"BSS"}),
    "a method's title, its line for the report, its colour": (
        reword("methods/bss.py", {"Method": ("title", "summary", "colour")}),
        set(),
    ),
    "a task type: its loss, its scaling, its metrics": (add_code("tasks/classification.py"), {"full FT on classes"}),
    "a metric's title and its region of equivalence": (
        reword("tasks/regression.py", {"Primary": ("title", "region"), "TaskType": ("loss_title", "constant_title")}),
        set(),
    ),
    "the code of an encoder": (add_code("encoders/dpa.py"), {"full FT of DPA"}),
    "what encoders share: `base.py`, `ops.py`": (add_code("encoders/ops.py"), ALL),
    "the loop, the model, the forward pass": (add_code("training/loop.py"), ALL),
    "the mixing": (add_code("training/mixing.py"), {"WiSE-FT"}),
    "the loop of joint fits, the union of a panel's molecules": (add_code("training/panel.py"), {"joint FT"}),
    "a second task": (add_code("training/auxiliary/tasks.py"), SECOND),
    "a featurizer": (add_code("features/featurizers/hu.py"), {"MFT"}),
    "what a user's own encoder is": (add_code("encoders/own.py"), {"full FT of a user's own"}),
    "a method, an encoder, a featurizer or a task type is added": (add_files, set()),
    "what collects and tells: the jobs, the tables, figures and report": (
        add_code(
            "training/jobs.py", "training/saved_fits.py", "tables/schemas.py", "tables/runs.py", "report/page.css"
        ),
        set(),
    ),
}


@pytest.mark.parametrize("edited", EDITS)
def test_an_edit_repeats_these_fits(package: Path, edited: str):
    edit, expected = EDITS[edited]

    def codes() -> dict[str, str]:
        return {
            name: code_of_fit(METHODS[method], encoder_kind(kind), task, auxiliary=auxiliary)
            for name, (method, kind, task, auxiliary) in FITS.items()
        }

    before = codes()
    edit(package)
    after = codes()
    assert {name for name in FITS if before[name] != after[name]} == expected


@pytest.mark.parametrize(
    ("kind", "auxiliary"),
    [
        *((kind, False) for kind in ENCODER_KINDS),
        *((kind, True) for kind, own in ENCODER_KINDS.items() if own.spatial or own.file == "gnn"),
    ],
)
def test_a_fit_holds_its_own_encoders_code_alone(kind: str, auxiliary: bool, monkeypatch: pytest.MonkeyPatch):
    own = encoder_kind(kind)
    counted: list[Path] = []
    monkeypatch.setattr(source_code, "code_digest", lambda paths, _uncounted: counted.extend(paths))
    code_of_fit(METHODS["mft"], own, "regression", auxiliary=auxiliary)
    files = {source_code.PACKAGE / "encoders" / f"{other.file}.py" for other in ENCODER_KINDS.values()}
    assert files & set(counted) == {source_code.PACKAGE / "encoders" / f"{own.file}.py"}


@pytest.mark.parametrize("edited", ["dpa", "gnn"])
def test_an_edited_encoder_starts_no_job_of_another_one(package: Path, edited: str):
    published = catalog.checkpoints()
    experiment = SimpleNamespace(checkpoints=published, published=published, datasets=catalog.datasets())
    methods = {"finetune": "bss", "interpolate": "wise_ft"}
    stages = ("finetune", "interpolate", "landscape", "fetch_checkpoint")
    models = {checkpoint.kind.file: name for name, checkpoint in experiment.checkpoints.items()}
    assert models.keys() == {kind.file for kind in ENCODER_KINDS.values()} - {"own"}

    def codes(model: str) -> list[str]:
        base._digest.cache_clear()
        cell = {name: {"method": method, "dataset": "esol"} for name, method in methods.items()}
        cell["landscape"] = {"dataset": "esol"}
        jobs = [{"model": model} | cell.get(name, {}) for name in stages]
        return [STAGES[name].code_of(experiment, job) for name, job in zip(stages, jobs, strict=True)]

    before = {file: codes(name) for file, name in models.items()}
    add_code(f"encoders/{edited}.py")(package)
    after = {file: codes(name) for file, name in models.items()}
    assert {file for file in models if before[file] != after[file]} == {edited}
    assert not set(before[edited]) & set(after[edited])


def test_an_edited_featurizer_makes_its_own_graphs_again(package: Path):
    experiment = SimpleNamespace(checkpoints=catalog.checkpoints())
    digests = []
    for _ in range(2):
        base._digest.cache_clear()
        names = ("hu", "minimol", "geometry")
        digests.append([STAGES["featurize"].code_of(experiment, {"dataset": "d", "featurizer": n}) for n in names])
        add_code("features/featurizers/minimol.py")(package)
    assert [one == two for one, two in zip(*digests, strict=True)] == [True, False, True]


def test_the_documentation_says_what_an_edit_costs():
    text = (ROOT / "docs" / "reruns.md").read_text().partition("## What an edit of the code costs")[2]
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", text, re.MULTILINE)
    others = ["a field with a default is added to settings", "a default is changed"]
    assert [row for row, _ in rows[1:]] == [*EDITS, *others]


# -- settings --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Inner:
    a: int = 1
    b: tuple[int, ...] = ()


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner = field(default_factory=Inner)
    values: dict[str, Inner] = field(default_factory=dict)


def test_what_equals_its_default_is_left_out_at_every_depth():
    assert without_defaults(Outer("x")) == {"name": "x"}
    assert without_defaults(Outer("x", Inner(b=(2,)))) == {"name": "x", "inner": {"b": [2]}}
    assert without_defaults([Outer("x", values={"k": Inner(a=3)})]) == [{"name": "x", "values": {"k": {"a": 3}}}]
    assert without_defaults({"plain": (1, None)}) == {"plain": [1, None]}
    for record in (Outer("x"), Outer("x", Inner(2, (3,)))):
        assert build(Outer, without_defaults(record)) == record


IDENTITY = FitIdentity("code", "data", "encoder", "2.0", "cpu", "honest", "full_ft", "regression", "rmse")


def other(value: Any) -> Any:
    """Another value of the same type."""
    if isinstance(value, TrainSettings):
        return replace(value, epochs=value.epochs + 1)
    return not value if isinstance(value, bool) else value + type(value)(1) if isinstance(value, int) else value + "x"


def test_all_that_a_fit_depends_on_is_in_its_name():
    for item in fields(IDENTITY):
        changed = replace(IDENTITY, **{item.name: other(getattr(IDENTITY, item.name))})
        assert changed.file != IDENTITY.file, item.name


SETTINGS = {
    **{"protocol": "honest", "model": "gin", "dataset": "d", "split": "random", "budget": "all", "method": "full_ft"},
    **{"task": "regression", "metric": "rmse", "seeds": (0,), "grid": ({},)},
}


def test_a_new_field_with_a_default_changes_no_fit_and_no_job_that_does_not_use_it():
    """Row "a field with a default is added to settings"."""

    @dataclass(frozen=True)
    class LaterTraining(TrainSettings):
        warmup: int = 0

    @dataclass(frozen=True)
    class Later(FitIdentity):
        training: TrainSettings = field(default_factory=LaterTraining)
        groups: str = ""

    @dataclass(frozen=True)
    class LaterSettings(RunSettings):
        training: TrainSettings = field(default_factory=LaterTraining)
        groups: str = ""

    values = {item.name: getattr(IDENTITY, item.name) for item in fields(IDENTITY) if item.name != "training"}
    assert Later(**values).file == IDENTITY.file
    assert Later(**values, groups="assay").file != IDENTITY.file
    longer = replace(IDENTITY, training=TrainSettings(epochs=7))
    assert Later(**values, training=LaterTraining(epochs=7)).file == longer.file
    assert Later(**values, training=LaterTraining(epochs=7, warmup=1)).file != longer.file
    told = [canonical_json(without_defaults(kind(**SETTINGS))) for kind in (RunSettings, LaterSettings)]
    assert told[0] == told[1]


def test_another_default_changes_the_code_of_every_fit(package: Path):
    """Row "a default is changed": what is left out would be read otherwise, so the code has to tell."""
    before = code_of_fit(METHODS["full_ft"], encoder_kind("gin"), "regression", auxiliary=False)
    path = package / "training" / "fit.py"
    text = path.read_text()
    assert "epochs: int = 100" in text
    path.write_text(text.replace("epochs: int = 100", "epochs: int = 200"))
    assert code_of_fit(METHODS["full_ft"], encoder_kind("gin"), "regression", auxiliary=False) != before
