"""The source files that a result depends on, read off the import statements, and what identifies their code.

Snakemake compares no imported code. A rule that carries the digest of these files in its parameters runs again when
their code is edited, and does not when a file is only touched, a comment or a docstring is reworded, or other code
changes. `import_module(f"roftmol.encoders.{name}")` imports one of a folder's modules, nobody knows which: all of them
count, unless whoever asks leaves the importing module out and names the one that it means.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from importlib.util import cache_from_source
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from roftmol.core.files import digest, sha256

PACKAGE = Path(__file__).parents[1]
#: The text of this module, on which depends what is read off a file.
THIS = Path(__file__).read_bytes()
#: Ends what stands for all modules of a folder.
ANY = ".*"


def sources(modules: Iterable[str], leaves: Iterable[str] = ()) -> list[Path]:
    """Return the files of these modules of ours and of all that they import, with the other files of their packages.

    `leaves` are modules left out, with whatever only they import.
    """
    files: set[Path] = set()
    seen = {PACKAGE.name, *leaves}
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        path = _file(module)
        if path is None:
            continue
        files.add(path)
        if path.name == "__init__.py":
            others = filter(Path.is_file, path.parent.iterdir())
            files.update(other for other in others if other.suffix != ".py")
        for name in _read(path).imports:
            if name.split(".")[0] == PACKAGE.name:
                waiting += _folder(name) if name.endswith(ANY) else [name]
        waiting.append(module.rpartition(".")[0])
    return sorted(files)


def third_party(paths: Iterable[Path]) -> set[str]:
    """Return the first names of what these files import from elsewhere, the standard library included."""
    imports = chain.from_iterable(_read(path).imports for path in paths if path.suffix == ".py")
    return {name.split(".")[0] for name in imports} - {PACKAGE.name}


#: Classes and functions, each with those of its arguments by keyword that do not count.
Uncounted = tuple[tuple[str, frozenset[str]], ...]
ALL_COUNT: Uncounted = ()


def code_digest(paths: Iterable[Path | str], uncounted: Uncounted = ALL_COUNT) -> str:
    """Return a digest of files, whatever their order and their times: Python by its code, any other by its bytes.

    The code is the syntax tree without positions, comments, docstrings and other texts that nothing is done with, so
    layout does not count either. What versions of Python write differently into trees is left out (:func:`_plain`).
    """
    return digest(sorted((path.name, _content(path, uncounted)) for path in map(Path, paths)))


class _Source(NamedTuple):
    """What is read off a file of Python."""

    imports: tuple[str, ...]
    code: str  #: the digest of its code


def _content(path: Path, uncounted: Uncounted) -> str:
    return _read(path, uncounted).code if path.suffix == ".py" else sha256(path)


def _file(module: str) -> Path | None:
    folder = PACKAGE.joinpath(*module.split(".")[1:])
    candidates = (folder.with_suffix(".py"), folder / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


def _folder(name: str) -> list[str]:
    """Return the modules that "roftmol.encoders.*" stands for."""
    package = name.removesuffix(ANY)
    return [f"{package}.{path.stem}" for path in sorted(PACKAGE.joinpath(*package.split(".")[1:]).glob("*.py"))]


def _read(path: Path, uncounted: Uncounted = ALL_COUNT) -> _Source:
    return _at_hand(path, path.read_bytes(), uncounted)


@cache  # thousands of jobs ask for a few files
def _at_hand(path: Path, source: bytes, uncounted: Uncounted) -> _Source:
    """Return what is read off a file, from beside its bytecode if it lies there.

    Every start of Snakemake and every job that fits asks for most of the files, and parsing them takes a second. So
    what is read off is kept where and when Python keeps bytecode. It names the text that it was read off and that of
    this module: an edit of either has the file parsed again.
    """
    counted = repr([(name, sorted(keywords)) for name, keywords in uncounted]).encode()
    of = hashlib.sha256(b"\0".join((THIS, counted, source))).hexdigest()
    kept = Path(cache_from_source(str(path))).with_suffix(".some.json" if uncounted else ".all.json")
    with suppress(OSError, ValueError, KeyError, TypeError):
        entry = json.loads(kept.read_bytes())
        if entry["of"] == of:
            return _Source(tuple(entry["imports"]), entry["code"])
    parsed = _parsed(source, uncounted)
    if not sys.dont_write_bytecode:
        with suppress(OSError):  # a package that cannot be written to is parsed each time
            _keep(kept, {"of": of, **parsed._asdict()})
    return parsed


def _keep(path: Path, entry: dict[str, Any]) -> None:
    """Write what can be lost: whole or not at all, without waiting for the disk as `atomic` does."""
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(entry))
    os.replace(temporary, path)


@cache
def _parsed(source: bytes, uncounted: Uncounted) -> _Source:
    tree = ast.parse(source)
    imports = tuple(sorted(set(_imports(tree))))
    if uncounted:
        left_out = dict(uncounted)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and (names := left_out.get(ast.unparse(node.func))):
                node.keywords = [keyword for keyword in node.keywords if keyword.arg not in names]
    return _Source(imports, digest(_plain(tree)))


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in _run(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield _named(node.args[0])


def _named(argument: ast.expr) -> str:
    """Return the module that a text names; of an f-string all that begin as it does.

    Raises `ValueError` for any other name, whose code no digest would hold.
    """
    match argument:
        case ast.Constant(value=str(name)):
            return name
        case ast.JoinedStr(values=[ast.Constant(value=str(start)), ast.FormattedValue()]) if start.endswith("."):
            return start.removesuffix(".") + ANY
    raise ValueError(f'import_module({ast.unparse(argument)}): write it as import_module(f"package.{{name}}")')


def _run(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield a node and all below it that may run, in any order: not what `if TYPE_CHECKING` is for."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        waiting += ast.iter_child_nodes(node)


def _plain(value: Any) -> Any:
    """Return a syntax tree as JSON that Python 3.11 to 3.14 agree on.

    `ast.dump` shows empty fields in some versions and leaves them out in others, and newer versions have fields that
    older ones lack (such as `type_params`), empty in all that older ones can read: no empty field is shown. The pieces
    of an f-string are cut differently too: texts side by side are one. Constants are written in ASCII, since which
    characters `repr` shows as they are depends on the version's Unicode.
    """
    if not isinstance(value, ast.AST):
        return value
    if isinstance(value, ast.Constant):
        return ["Constant", ascii(value.value)]
    if isinstance(value, ast.JoinedStr):
        return ["JoinedStr", *map(_plain, _joined(value.values))]
    shown: list[Any] = [type(value).__name__]
    for name in value._fields:
        entry = getattr(value, name, None)
        if isinstance(entry, list):
            if entry:
                shown.append([name, [_plain(one) for one in entry if not _says_nothing(one)]])
        elif entry is not None:
            shown.append([name, _plain(entry)])
    return shown


def _says_nothing(node: Any) -> bool:
    """Return whether a statement is a text alone: a docstring, or a comment by another name."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _joined(pieces: list[ast.expr]) -> list[ast.expr]:
    """Return the pieces of an f-string with texts side by side put together, and empty ones left out."""
    merged: list[ast.expr] = []
    for piece in pieces:
        text = piece.value if isinstance(piece, ast.Constant) else None
        if isinstance(text, str) and merged and isinstance(merged[-1], ast.Constant):
            merged[-1] = ast.Constant(f"{merged[-1].value!s}{text}")
        elif text != "":
            merged.append(piece)
    return merged
