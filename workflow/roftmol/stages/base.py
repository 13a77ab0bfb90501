"""What a stage is: one file here, one rule in rules/, one command, all three of one name.

A stage reads files and writes files. Its file says what it is told of the experiment, which code its result depends on,
in which environment it runs, and what it does. The parameters of its rule, the options of its command and the tests of
the environments are made from that.

Every start of Snakemake reads the stages and computes nothing, so a stage imports what it runs when it runs.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

from roftmol.core import source_code
from roftmol.core.records import without_defaults

Json = dict[str, Any]


@dataclass(frozen=True)
class Code:
    """Modules of ours, with all that they import except `leaves` and what only those import."""

    modules: tuple[str, ...]
    leaves: tuple[str, ...] = ()

    @property
    def files(self) -> list[Path]:
        """The source files."""
        return source_code.sources(self.modules, self.leaves)


@dataclass(frozen=True)
class Stage:
    """One stage.

    `run` takes the settings, if there are any, and by keyword the paths (`Path`, or `Path | None` for one that can be
    left out) and the number of worker processes (`processes: int`).
    """

    run: Callable[..., None]
    environment: Literal["data", "train", "report"]  #: the file in envs/
    code: Code | Callable[..., Code]  #: what the result depends on; a function of the same as `settings`
    settings: Callable[..., Any] | None = None  #: (experiment, the wildcards that it names) -> a dataclass, or JSON

    @property
    def name(self) -> str:
        """The name of the file and of the rule."""
        return self.run.__module__.rpartition(".")[2]

    @property
    def command(self) -> str:
        """The name of the command."""
        return self.name.replace("_", "-")

    @property
    def title(self) -> str:
        """What the stage does, in a line."""
        return inspect.getdoc(inspect.getmodule(self.run)).splitlines()[0]  # type: ignore[union-attr]

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths that its command needs."""
        return self._parameters("Path")

    @property
    def optional(self) -> tuple[str, ...]:
        """The paths that its command can do without."""
        return self._parameters("Path | None")

    @property
    def parallel(self) -> bool:
        """Whether it has worker processes."""
        return "processes" in inspect.signature(self.run).parameters

    def settings_of(self, experiment: Any, wildcards: Mapping[str, str]) -> Json:
        """Return the stage's settings for one job, as JSON; fields that equal their default are left out."""
        assert self.settings is not None
        settings: Json = without_defaults(self.settings(experiment, **wildcards))
        return settings

    def code_of(self, experiment: Any, wildcards: Mapping[str, str]) -> str:
        """Return the digest of the code that one job's result depends on."""
        return _digest(self.code if isinstance(self.code, Code) else self.code(experiment, **wildcards))

    @cached_property
    def _annotations(self) -> dict[str, str]:
        # Annotations are text: `from __future__ import annotations` stands in every stage's file.
        return {name: str(one.annotation) for name, one in inspect.signature(self.run).parameters.items()}

    def _parameters(self, annotation: str) -> tuple[str, ...]:
        return tuple(name for name, text in self._annotations.items() if text == annotation)


@cache  # thousands of jobs share a few digests
def _digest(code: Code) -> str:
    return source_code.code_digest(code.files)
