"""What is made from the parsers, the Makefile, the configurations and the profiles: docs/commands.md.

    python -m roftmol.cli.reference

writes it anew. Nothing else imports this module.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

from roftmol.cli import commands
from roftmol.stages import STAGES, Stage

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "commands.md"
INTRODUCTION = """\
# Commands

`make` installs, runs and tests. `snakemake` runs the workflow. `roftmol` uses what the workflow made, and runs one
stage alone. `make install` puts the last two into `.venv/bin`: type `.venv/bin/snakemake`, or say
`source .venv/bin/activate` once.

The program makes this page from the Makefile, the parsers, the configurations and the profiles: `make docs`.
"""
SNAKEMAKE = """\
## `snakemake`

Start it in the repository's root, or name a results folder with `--directory`. `--cores` is needed but for a dry run.

| command | what it does |
|---|---|
| `snakemake -n` | say what would run, why, and what it costs at most; run nothing |
| `snakemake --cores all` | run the experiment of [config.yaml](../config.yaml) and leave `results/report.html` |
| `snakemake recommend --cores all --config data=mine.csv` | say which method to take for a file of your own, and \
leave the model ([recommend.md](recommend.md)); `roftmol recommend mine.csv` starts the same |
| `snakemake --cores all PATH` | make one file under `results/` and what it needs |
| `snakemake --configfile FILE` | lay an experiment over `config.yaml`, key by key |
| `snakemake --config KEY=VALUE ...` | the same with single keys ([configuration.md](configuration.md)) |
| `snakemake --profile FOLDER` | run elsewhere or otherwise ([below](#profiles)) |
| `snakemake --directory FOLDER` | keep the results in another folder |
| `snakemake --unlock`, then `--rerun-incomplete` | go on after a crash ([faults.md](faults.md)) |
"""
ROFTMOL = """\
## `roftmol`

`roftmol --help` lists these and the stages, `roftmol --version` says what results depend on. Input that cannot be used
ends a command with one message and exit status 2, Ctrl-C with one line and 130. A shell completes commands and options
after `eval "$(.venv/bin/register-python-argcomplete roftmol)"`.
"""
STAGE_COMMANDS = """\
## Stages

Each rule of the workflow is a command too, so that a stage runs, debugs and tests without Snakemake:
`roftmol STAGE --settings JSON --PATH ...`. `snakemake -n -p` prints the whole command of every job. Options in brackets
can be left out.
"""


def markdown() -> str:
    """Return the text of docs/commands.md."""
    return "\n".join(
        [
            INTRODUCTION,
            "## `make`\n",
            _table(("command", "what it does"), _make_targets()),
            SNAKEMAKE,
            "### Experiments that come along\n",
            _table(("file", "what it asks"), _configurations()),
            "### Profiles\n",
            _table(("folder", "what it is for"), _profiles()),
            ROFTMOL,
            *map(_command, _parsers().values()),
            STAGE_COMMANDS,
            _table(("command", "what it does", "options", "environment"), map(_stage, STAGES.values())),
        ]
    )


def write() -> None:
    """Write docs/commands.md."""
    PAGE.write_text(markdown(), encoding="utf-8")


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]] | map[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join([f"| {' | '.join(line)} |" for line in lines]) + "\n"


def _make_targets() -> Iterator[tuple[str, str]]:
    """Yield the targets that the head of the Makefile describes."""
    for line in (ROOT / "Makefile").read_text(encoding="utf-8").splitlines():
        if not line.startswith("# make "):
            return
        target, text = re.split(r" {2,}", line.removeprefix("# "), maxsplit=1)
        yield f"`{target}`", _sentences(text)


def _configurations() -> Iterator[tuple[str, str]]:
    """Yield the experiments in config/, each with what its first comment says."""
    for path in sorted((ROOT / "config").glob("*.yaml")):
        yield _linked(path), _sentences(_comment(path, skip=1))


def _profiles() -> Iterator[tuple[str, str]]:
    """Yield the profiles, each with what its first comment says behind the command."""
    for path in sorted((ROOT / "workflow" / "profiles").glob("*/config.yaml")):
        text = re.sub(r"^`[^`]*`(?:, from the repository's root)?: ", "", _comment(path))
        yield _linked(path, path.parent), _sentences(text[0].upper() + text[1:])


def _comment(path: Path, skip: int = 0) -> str:
    """Return the comment that a file begins with, as one line, without its first `skip` lines and indented commands."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines()[skip:]:
        if not line.startswith("# ") or line.startswith("#   "):
            break
        lines.append(line.removeprefix("# "))
    return " ".join(lines)


def _sentences(text: str) -> str:
    """Return a text with links to the pages that it names, and a full stop where a colon led to a command."""
    return re.sub(r"\bdocs/([\w-]+\.md)", r"[\1](\1)", re.sub(r":$", ".", text))


def _linked(path: Path, shown: Path | None = None) -> str:
    return f"[{(shown or path).relative_to(ROOT)}](../{path.relative_to(ROOT)})"


def _parsers() -> dict[str, argparse.ArgumentParser]:
    """Return the parsers of the commands that people type, by name."""
    parsers = argparse.ArgumentParser(prog="roftmol").add_subparsers()
    commands.add_commands(parsers)
    return parsers.choices


def _command(parser: argparse.ArgumentParser) -> str:
    """Return the section about one command."""
    # argparse offers no other way to its options, and its own help differs between versions of Python.
    actions = [action for action in parser._actions if not isinstance(action, argparse._HelpAction)]
    actions.sort(key=lambda action: bool(action.option_strings))
    usage = " ".join([parser.prog, *map(_used, actions)])
    rows = ((f"`{_shown(action)}`", _help(action)) for action in actions)
    name = parser.prog.rpartition(" ")[2]
    return f"### `{name}`\n\n    {usage}\n\n{parser.description}\n\n{_table(('argument', 'meaning'), iter(rows))}"


def _used(action: argparse.Action) -> str:
    """Return an argument as a line of usage has it."""
    text = _shown(action)
    return text if action.required else f"[{text}]"


def _shown(action: argparse.Action) -> str:
    """Return an argument as it is typed, by its shortest name."""
    value = "{" + ",".join(action.choices) + "}" if action.choices else action.metavar
    several = " [...]" if action.nargs in ("+", "*") else ""
    typed = [*action.option_strings[:1], *([str(value)] if action.nargs != 0 and value else [])]
    return " ".join(typed) + several


def _help(action: argparse.Action) -> str:
    """Return what an argument means, with its longer name and its default where that is not said."""
    longer = "".join(f"; also `{name}`" for name in action.option_strings[1:])
    default = f"; default `{action.default}`" if action.choices and action.default else ""
    return f"{action.help}{longer}{default}"


def _stage(stage: Stage) -> tuple[str, str, str, str]:
    """Return the row of a stage."""
    options = [
        *(["`--settings`"] if stage.settings else []),
        *(f"`--{path}`" for path in stage.paths),
        *(f"[`--{path}`]" for path in stage.optional),
        *(["[`--processes`]"] if stage.parallel else []),
    ]
    environment = f"[{stage.environment}.yaml](../envs/{stage.environment}.yaml)"
    file = f"[`{stage.command}`](../workflow/roftmol/stages/{stage.name}.py)"
    return file, stage.title, " ".join(options), environment


if __name__ == "__main__":
    write()
