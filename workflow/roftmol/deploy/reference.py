"""What is made from signatures and docstrings: docs/python.md.

    python -m roftmol.deploy.reference

writes it anew. Nothing else imports this module.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import roftmol
from roftmol.tables import schemas

PAGE = Path(__file__).parents[3] / "docs" / "python.md"
INTRODUCTION = """\
# From Python

`from roftmol import NAME` gives the names [below](#what-the-package-exports). They stay where they are when modules
move. All else is the program's own and may change; what reads and writes tables is shown because results are read with
it.

## Fit and predict

The estimators are scikit-learn's on molecules. Molecules are a list of SMILES, a series, or a frame: of several
columns, the one of SMILES is found by its name, as in a file.

    import pandas
    from roftmol import RoftMolRegressor, read_bundle

    table = pandas.read_csv("examples/solubility100.csv")
    model = RoftMolRegressor(verbose=True).fit(table, table["logS"])  # a bar, with the time left
    model.predict(["CCO", "c1ccccc1"])
    mean, std = model.predict(["CCO", "c1ccccc1"], return_std=True)
    low, high = model.predict_interval(["CCO"])[0]
    model.predict(["CCO", "C(", None], errors="coerce")  # NaN for what is no molecule, which else is a ValueError
    model.save("mine.roftmol")
    read_bundle("mine.roftmol").predict(["CCO"])  # a frame with interval, similarity and domain

They stand wherever scikit-learn's do, and `pickle` and `clone` take them:

    from sklearn.model_selection import GridSearchCV, cross_val_score

    cross_val_score(RoftMolRegressor("ridge"), table["SMILES"], table["logS"], cv=3)
    GridSearchCV(RoftMolRegressor(), {"method": ["ridge", "classical"]}, cv=2).fit(table["SMILES"], table["logS"])

The vectors of a frozen encoder, for any other model:

    from roftmol import EncoderVectors
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    pipeline = make_pipeline(EncoderVectors(), StandardScaler(), RidgeCV([10, 100, 1000, 10000]))
    pipeline.fit(table["SMILES"], table["logS"]).predict(["CCO"])

## Install as a library

`make install` installs all, as it is tested. In an environment of your own, in a clone:

    pip install .                   # estimators, bundles, `roftmol predict`, `show` and `list`; no Snakemake
    pip install '.[workflow]'       # and what stages, reports, `merge` and `verify` need
    pip install '.[workflow,slurm]' # and the profile for Slurm

The library takes torch from 2.5 on; the workflow's lock has 2.13.0. With torch 2.5.1, beside the lock's other packages,
estimators were fitted on 24 molecules by the hybrid and the ridge head, full FT, linear probing, LP-FT (closed form),
layer-wise decay, WiSE-FT, DWiSE-FT, L2-SP, BSS, feature-map, MFT and from scratch; their bundles, written and read,
predicted the same (29 November 2026, AMD EPYC, no GPU). With 2.3.1 no network trains on a CPU: Adam's fused step is
missing. Versions between 2.5.1 and 2.13.0 were not tried.

The package is typed (`py.typed`), and `roftmol.__version__` is the version that `roftmol --version` says.

[bundle.md](bundle.md) says what a bundle promises, [tables.md](tables.md) what each table holds.

The program makes this page from signatures and docstrings: `make docs`.
"""
#: What is shown beside what the package exports.
READING = (schemas.read, schemas.stream, schemas.marks)


def markdown() -> str:
    """Return the text of docs/python.md."""
    parts = [INTRODUCTION, "## What the package exports\n"]
    for name in sorted(roftmol.__all__):
        parts += _entry(name, getattr(roftmol, name))
    parts.append("## Tables: `roftmol.tables.schemas`\n")
    for function in READING:
        parts += _entry(function.__name__, function)
    return "\n".join(parts)


def write() -> None:
    """Write docs/python.md."""
    PAGE.write_text(markdown(), encoding="utf-8")


def _entry(name: str, thing: Any) -> Iterator[str]:
    """Yield the parts about a class with its public methods, or about a function."""
    yield f"### `{name}`\n"
    if not (inspect.isclass(thing) and issubclass(thing, Exception)):
        yield _signature(name, thing)
    yield _text(thing)
    if inspect.isclass(thing):
        for method, function in _methods(thing).items():
            yield f"#### `{name}.{method}`\n"
            yield _property(function) if isinstance(function, property) else _signature(method, function)
            yield _text(function)


def _methods(thing: type) -> dict[str, Any]:
    """Return the public methods and properties that our classes define, those of a base first."""
    ours = [base for base in reversed(thing.__mro__) if base.__module__.startswith("roftmol.")]
    found = {name: one for base in ours for name, one in vars(base).items() if not name.startswith("_")}
    return {name: one for name, one in found.items() if inspect.isfunction(one) or isinstance(one, property)}


def _signature(name: str, thing: Callable[..., Any]) -> str:
    """Return a call as code, a line an argument where it is long; annotations are as they are written."""
    signature = inspect.signature(thing)
    arguments = [_argument(one) for one in signature.parameters.values() if one.name != "self"]
    result = "" if inspect.isclass(thing) else f" -> {signature.return_annotation}"
    line = f"{name}({', '.join(arguments)}){result}"
    if len(line) > 88:
        line = "\n".join([f"{name}(", *(f"    {one}," for one in arguments), f"){result}"])
    return f"```python\n{line}\n```\n"


def _argument(one: inspect.Parameter) -> str:
    default = "" if one.default is inspect.Parameter.empty else f" = {one.default!r}"
    return f"{one.name}: {one.annotation}{default}"


def _property(thing: property) -> str:
    return f"```python\n{thing.fget.__name__}: {inspect.signature(thing.fget).return_annotation}\n```\n"  # type: ignore[union-attr, arg-type]


def _text(thing: Any) -> str:
    """Return a docstring as Markdown: its parameters become a list, its roles become code."""
    text = inspect.getdoc(thing) or ""
    text = re.sub(r":\w+:`([^`]+)`", r"`\1`", text)
    before, heading, parameters = text.partition("Parameters\n----------\n")
    if heading:
        items = re.findall(r"^(\S.*)\n((?: {4}.*\n?)+)", parameters, re.MULTILINE)
        lines = (f"- `{names}`: {' '.join(about.split())}" for names, about in items)
        return before + "\n".join(lines) + "\n"
    return f"{before}\n"


if __name__ == "__main__":
    write()
