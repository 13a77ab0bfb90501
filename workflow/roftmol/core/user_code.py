"""A user's own Python file: loaded from its path, and named when it fails."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from roftmol.core.errors import UserError
from roftmol.core.files import sha256


def function(path: str, name: str) -> Callable[..., Any]:
    """Return the function of this name in the file.

    Raises `UserError` if the file cannot be read or run, or has no such function.
    """
    member = getattr(_load(path), name, None)
    if not callable(member):
        raise UserError(f"{path}: there is no function {name}(); define it at the top level of the file")
    return member


@contextmanager
def as_user_error(path: str, what: str) -> Iterator[None]:
    """Turn whatever the file's code raises inside the block into a `UserError` that names the line."""
    try:
        yield
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # a user's code may raise anything
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
        line = f", line {lines[-1]}" if lines else ""
        reason = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        raise UserError(f"{path}{line}: {what} raised {reason}") from error


def _load(path: str) -> ModuleType:
    """Return the file as a module, run once for each content that it has."""
    if not Path(path).is_file():
        raise UserError(f"there is no file {path!r} (from {Path.cwd()})")
    # Under a name of its own among the modules: PyTorch Geometric and dataclasses look up there where a class is from.
    name = f"roftmol_own_{sha256(path)[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    module = ModuleType(name)
    module.__file__ = path
    sys.modules[name] = module
    try:
        with as_user_error(path, "reading it"):
            # Compiled here, so that no cached bytecode is trusted and none is left beside the user's file.
            exec(compile(Path(path).read_bytes(), path, "exec"), module.__dict__)
    except UserError:
        del sys.modules[name]
        raise
    return module
