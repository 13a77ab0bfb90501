"""Pages that are made from the code say what the code has; `make docs` makes all of them."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

import roftmol
from roftmol.cli import commands
from roftmol.cli import reference as cli
from roftmol.deploy import reference as deploy
from roftmol.methods import METHODS
from roftmol.methods import reference as methods
from roftmol.stages import STAGES

ROOT = Path(__file__).parents[2]
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("maker", [cli, deploy], ids=["commands", "python"])
def test_a_page_is_what_its_maker_writes(maker):
    assert maker.PAGE.read_text(encoding="utf-8") == maker.markdown(), "write it anew: make docs"


def test_readmes_table_has_the_methods_records():
    page = methods.PAGE.read_text(encoding="utf-8")
    assert page == methods.markdown(page), "write it anew: make docs"


def test_a_table_whose_frame_is_missing_is_no_table():
    with pytest.raises(ValueError, match="once"):
        methods.markdown("# A page\n")
    with pytest.raises(ValueError, match="once"):
        methods.markdown(2 * f"{methods.BEGIN}{methods.END}")


def test_make_docs_runs_every_maker():
    (parts,) = re.findall(r"for part in (.+); do", (ROOT / "Makefile").read_text())
    package = ROOT / "workflow" / "roftmol"
    made = {".".join(path.relative_to(package).parent.parts) for path in package.rglob("reference.py")}
    assert set(parts.split()) == made


def test_the_commands_are_all_there():
    parsers = argparse.ArgumentParser().add_subparsers()
    commands.add_commands(parsers)
    page = cli.PAGE.read_text(encoding="utf-8")
    assert re.findall(r"^### `(.+)`$", page, re.MULTILINE) == list(parsers.choices)
    assert re.findall(r"^\| \[`(.+?)`\]", page, re.MULTILINE) == [stage.command for stage in STAGES.values()]
    for folder in ("config/*.yaml", "workflow/profiles/*/config.yaml"):
        for path in ROOT.glob(folder):
            assert f"](../{path.relative_to(ROOT)}) | " in page


def test_what_the_package_exports_is_all_there():
    page = deploy.PAGE.read_text(encoding="utf-8")
    assert set(re.findall(r"^### `(.+)`$", page, re.MULTILINE)) >= set(roftmol.__all__)


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.paper])
def test_a_methods_paper_is_that_of_its_docstring(name: str):
    text = (ROOT / "workflow" / "roftmol" / "methods" / f"{name}.py").read_text(encoding="utf-8")
    docstring = text.partition('"""')[2].partition('"""')[0]
    cited = METHODS[name].paper
    assert cited in docstring or "See `mft.py`" in docstring


def test_the_glossary_is_in_order_and_names_each_thing_once():
    words = re.findall(r'^<a id="[\w-]+"></a>\*\*([^*]+)\*\*', GLOSSARY, re.MULTILINE)
    assert len(words) == GLOSSARY.count("<a id=")
    latin = [word.casefold() for word in words if word.isascii()]
    assert latin == sorted(latin)
    anchors = re.findall(r'<a id="([\w-]+)">', GLOSSARY)
    assert len(anchors) == len(set(anchors))
