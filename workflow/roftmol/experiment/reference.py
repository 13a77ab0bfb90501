"""What is made from the keys of the configuration: the JSON schema for editors, and docs/configuration.md.

    python -m roftmol.experiment.reference

writes both anew. Nothing else reads them.
"""

from __future__ import annotations

import ast
import inspect
import json
import math
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from roftmol.experiment import keys
from roftmol.methods import ALL_METHODS, METHODS, Method
from roftmol.registry import catalog
from roftmol.scoring.selection import RULES

Json = dict[str, Any]

ROOT = Path(__file__).parents[3]
SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.json"
PAGE = ROOT / "docs" / "configuration.md"
#: Types and bounds of JSON schema in words.
KINDS = {
    "integer": "whole number",
    "number": "number",
    "boolean": "`true` or `false`",
    "string": "text",
    "null": "`null`",
}
BOUNDS = {"minimum": "of at least", "exclusiveMinimum": "above", "maximum": "of at most", "exclusiveMaximum": "below"}
INTRODUCTION = """\
# Configuration

An experiment is what `config.yaml` says. A file of your own is laid over it, key by key, with `--configfile mine.yaml`;
a single key with `--config 'budgets=[100]' landscape=false`. Every key can be left out: what holds then is its default
below. (`config.yaml` says some that are not the default, so that a first run is short.) A mistake is named before
anything runs, with what is allowed in its place.

Editors with a YAML language server (VS Code with the extension YAML, Neovim, ...) complete and check a file whose first
line is that of `config.yaml`: it names the schema.

The program makes this page and the schema from `workflow/roftmol/experiment/keys.py`: `make docs`."""


def schema() -> Json:
    """Return the JSON schema: what `keys` says, and the names that are registered.

    It is of draft 7, which every editor reads.
    """
    described = _described()
    top = described["properties"]
    auxiliary, recommend = (described["$defs"][name]["properties"] for name in ("Auxiliary", "Recommend"))
    top["datasets"]["items"] = _or_own(catalog.datasets())
    for about in (top, recommend):
        about["models"]["items"] = _or_own(catalog.checkpoints())
        axis = about["grids"]["additionalProperties"]["additionalProperties"]
        about["grids"] |= _only({name: _axes(method, axis) for name, method in METHODS.items()})
    top["methods"]["items"] = {"enum": list(ALL_METHODS)}
    top["selection"]["enum"] = list(RULES)
    auxiliary["corpus"]["enum"] = list(catalog.corpora())
    registered = [*catalog.datasets(), *catalog.checkpoints(), *catalog.corpora()]
    top["files"] |= _only(dict.fromkeys(registered, top["files"]["additionalProperties"]))
    return {"$schema": "http://json-schema.org/draft-07/schema#", **described}


def markdown() -> str:
    """Return the text of docs/configuration.md."""
    described = _described()
    contents = [
        f"| [`{key}`](#{key}) | {_first_sentence(about['description'])} |"
        for key, about in described["properties"].items()
    ]
    paragraphs = [INTRODUCTION, "\n".join(["| key | |", "|---|---|", *contents])]
    for key, about in described["properties"].items():
        paragraphs += [f"## `{key}`", *_entry(about, described["$defs"])]
    # The text names files from the repository's root, as editors show it; a page has links.
    return re.sub(r"(?<!`)\b(?:docs|workflow)/[\w/.-]+\.\w+", _link, "\n\n".join(paragraphs)) + "\n"


def write() -> None:
    """Write both files."""
    SCHEMA.write_text(json.dumps(schema(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(markdown(), encoding="utf-8")


def _described() -> Json:
    """Return the JSON schema of the keys, each with its description and without the titles that repeat its name.

    A key with a section of its own is described by that.
    """
    described = keys.Config.model_json_schema()
    sections = described["$defs"]
    for name, section in {"Config": described, **sections}.items():
        texts = _texts(getattr(keys, name))
        del section["title"]
        for key, about in section["properties"].items():
            about.pop("title", None)
            about["description"] = texts[key] if key in texts else sections[_named(about["$ref"])]["description"]
    return described


def _texts(section: type) -> dict[str, str]:
    """Return the text below each key of a section."""
    (definition,) = ast.parse(inspect.getsource(section)).body
    assert isinstance(definition, ast.ClassDef)
    return {
        key.target.id: inspect.cleandoc(ast.literal_eval(text.value))
        for key, text in pairwise(definition.body)
        if isinstance(key, ast.AnnAssign) and isinstance(key.target, ast.Name) and isinstance(text, ast.Expr)
    }


def _named(reference: str) -> str:
    """Return the name of the section that a reference inside the schema is to."""
    return reference.rpartition("/")[2]


def _link(path: re.Match[str]) -> str:
    return f"[{Path(path[0]).name}]({os.path.relpath(path[0], PAGE.parent.relative_to(ROOT))})"


def _or_own(names: Iterable[str]) -> Json:
    """Return the schema of a registered name, which editors offer, or of one that the user gave."""
    return {"anyOf": [{"enum": list(names)}, {"type": "string"}]}


def _only(properties: Json) -> Json:
    return {"properties": properties, "additionalProperties": False}


def _axes(method: Method, axis: Json) -> Json:
    """Return the schema of a method's entry in `grids`."""
    return {"type": "object", **_only({field.name: axis for field in fields(method.settings)})}


def _entry(about: Json, sections: Json) -> Iterator[str]:
    """Yield the paragraphs about a key of the configuration, and a list of the keys of its section."""
    one, many = about.get("$ref"), about.get("additionalProperties", {}).get("$ref")
    if not one:
        yield f"{_facts(about)}."
    yield about["description"]
    if one or many:
        section = sections[_named(one or many)]
        yield "\n".join(_item(key, part, section.get("required", [])) for key, part in section["properties"].items())


def _item(key: str, about: Json, required: list[str]) -> str:
    """Return a line of a list about a key of a section."""
    facts = _facts(about) + ("; required" if key in required else "")
    return f"- `{key}` ({facts[0].lower()}{facts[1:]}): {' '.join(about['description'].split())}"


def _facts(about: Json) -> str:
    """Return what is allowed and the default, in words."""
    kind = _kind(about)
    default = f"; default `{_value(about['default'])}`" if "default" in about else ""
    return f"{kind[0].upper()}{kind[1:]}{default}"


def _kind(about: Json) -> str:
    """Return what is allowed, in words."""
    if "anyOf" in about:
        return " or ".join(map(_kind, about["anyOf"]))
    if "enum" in about:
        *most, last = [f"`{_value(value)}`" for value in about["enum"]]
        return f"{', '.join(most)} or {last}"
    if "const" in about:
        return f"`{about['const']}`"
    if about["type"] == "array":
        kind = _kind(about["items"]).replace("number", "numbers")
        return f"list of ({kind})" if "anyOf" in about["items"] else f"list of {kind}"
    if about["type"] == "object":
        return "entries by name"
    bounds = [f"{words} {about[bound]:g}" for bound, words in BOUNDS.items() if bound in about]
    return " ".join([KINDS[about["type"]], " and ".join(bounds)]).strip()


def _value(value: Any) -> str:
    """Return a value as YAML writes it in a line."""
    return yaml.safe_dump([value], default_flow_style=True, width=math.inf)[1:-2]


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=\.)\s", text, maxsplit=1)[0]


if __name__ == "__main__":
    write()
