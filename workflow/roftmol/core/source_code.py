"""The source files that a stage's result depends on, read off the import statements.

Snakemake compares no imported code. A rule that carries the digest of these files in its parameters runs again when
one of them is edited, and does not when a file is only touched or when other code changes.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def sources(modules: Iterable[str], leaves: Iterable[str] = ()) -> list[Path]:
    """The files of these modules of ours and of all that they import, with the other files of their packages.

    `leaves` are modules left out, with whatever only they import.
    """
    found: set[Path] = set()
    seen = {PACKAGE.name, *leaves}
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        path = _file(module)
        if module in seen or path is None:
            continue
        seen.add(module)
        found.add(path)
        if path.name == "__init__.py":
            found.update(other for other in path.parent.iterdir() if other.is_file() and other.suffix != ".py")
        waiting += [name for name in _imports(path) if name.split(".")[0] == PACKAGE.name]
        waiting.append(module.rpartition(".")[0])
    return sorted(found)


def third_party(paths: Iterable[Path]) -> set[str]:
    """The first names of what these files import from elsewhere, the standard library included."""
    names = {name.split(".")[0] for path in paths if path.suffix == ".py" for name in _imports(path)}
    return names - {PACKAGE.name}


def _file(module: str) -> Path | None:
    place = PACKAGE.joinpath(*module.split(".")[1:])
    candidates = (place.with_suffix(".py"), place / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


def _imports(path: Path) -> tuple[str, ...]:
    return _imports_of(path.read_bytes())


@cache
def _imports_of(source: bytes) -> tuple[str, ...]:
    names: list[str] = []
    for node in _run(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(names)


def _run(node: ast.AST) -> Iterator[ast.AST]:
    """A node and all below it that may run: not what `if TYPE_CHECKING` is for."""
    yield node
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return
    for child in ast.iter_child_nodes(node):
        yield from _run(child)
