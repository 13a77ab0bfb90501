"""The report: one self-contained page with the answers, the tables and figures behind them, and the data's audit."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from roftmol.core.errors import UserError
from roftmol.core.files import atomic
from roftmol.figures.cells import Condition, Diagnostics, Results, budget_title, facets_of
from roftmol.figures.style import in_order, look
from roftmol.registry.splits import split_title
from roftmol.report import audit, chart, diagnostics, panels, provenance, statistics
from roftmol.report import results as scores_tables
from roftmol.report.answers import answers
from roftmol.report.changes import changes_table
from roftmol.report.glossary import PROTOCOLS, table_lines
from roftmol.report.sections import Captioned, Filled, fill
from roftmol.report.table import labels, lean, plain, tight
from roftmol.report.verdict import OWN_FILE, advised, answers_table, verdict
from roftmol.statistics import TABLES as STATISTICS
from roftmol.tables import schemas

__all__ = ["build"]

TITLE = "Which way of fine\u2011tuning should be trusted?"
#: How many characters of pictures the page holds; it links the other ones of a large experiment.
PICTURES = 20_000_000
#: How the address of a picture begins that the page holds.
SVG = "data:image/svg+xml;base64,"
#: The parts of the page that are always there, before and after the evidence: address and title.
ANSWERS = [("answers", "What should I do?"), ("conditions", "Condition by condition")]
AUDIT = [
    ("experiment", "What was run"),
    ("provenance", "Provenance"),
    ("data", "Data audit"),
    ("failures", "Failures"),
    ("glossary", "Glossary"),
    ("reproduce", "Reproduce"),
]


def build(
    tables: Path, figures: Path, experiment: Mapping[str, Any], out: Path, recommendation: Path | None = None
) -> None:
    """Write the page `out` from the aggregated `tables`, the drawn `figures` and what the `experiment` was.

    `experiment` is shown as it is, key by key. Its "title" heads the page; its "models" and "corpora" may describe them
    by name. `recommendation` is the verdict.json of a recommendation that this page is the evidence of: the page then
    repeats its sentences and gives no advice of its own. Raises `UserError` if a table or a figure is missing.
    """
    recommended = json.loads(recommendation.read_text(encoding="utf-8"))["sentences"] if recommendation else []
    tables = Path(tables)
    names = ("summary", "selected", "alphas", "coefficients", "loss_weights", "changes", "paths", "planes", *STATISTICS)
    read = {name: schemas.read(name, tables / f"{name}.parquet") for name in names}
    results = Results(**read, diagnostics=Diagnostics.read(tables))
    extra = ("timings", "scores", "molecules", "rejects", "tasks")
    timings, scores, molecules, rejects, tasks = (schemas.read(name, tables / f"{name}.parquet") for name in extra)
    audited = ("models", "overlaps", "exposure", "left_out")
    models, overlaps, exposure, left_out = (schemas.read(name, tables / f"{name}.parquet") for name in audited)
    given = answers(results, left_out)
    methods = in_order(results.summary["method"])
    taken = [] if recommendation else advised(results, given)
    evidence = fill(
        _figures(Path(figures), Path(out)),
        {
            "scores": [
                Captioned(
                    "All scores",
                    scores_tables.results_table(results),
                    searchable=True,
                    lead=scores_tables.SCORES_LEAD + results.mark_lines(results.conditions),
                ),
                Captioned(
                    "Leaderboard",
                    scores_tables.leaderboard_table(schemas.read("leaderboard", tables / "leaderboard.parquet")),
                    searchable=True,
                    lead=scores_tables.LEADERBOARD_LEAD,
                ),
                Captioned(
                    "Methods × heads", scores_tables.heads_table(results), folded=True, lead=scores_tables.HEADS_LEAD
                ),
            ],
            "comparisons": [
                Captioned(
                    "Against full FT and the references",
                    statistics.comparisons_table(results),
                    searchable=True,
                    folded=True,
                    lead=" ".join(filter(None, [statistics.beyond_chance(results), *statistics.power(results)])),
                ),
                Captioned("Mean ranks over datasets", statistics.ranks_table(results), folded=True),
            ],
            "panels": [
                Captioned("Joint against single", panels.joint_table(results), lead=panels.transfer(results)),
                Captioned("Weightings and descriptors", panels.crossed_table(results), lead=panels.crossed(results)),
                Captioned("Gain and exposure", panels.exposed_table(results), lead=panels.explained(results)),
                Captioned("Exposure", panels.exposure_table(exposure), folded=True, lead=panels.EXPOSURE_LEAD),
            ],
            "beyond": diagnostics.tables(results.diagnostics),
            "changes": [Captioned("How far each method moves the encoder", changes_table(results))],
            "hyperparameters": [
                Captioned("Selected hyperparameters", scores_tables.hyperparameters_table(results.runs))
            ],
            "cost": [Captioned("Timings", scores_tables.timings_table(timings))],
        },
    )
    page = environment().get_template("page.html.jinja")
    html = page.render(
        title=experiment.get("title", TITLE),
        oracle="oracle" in set(results.selected["rule"]),
        rules=sorted(set(results.selected["rule"])),
        contents={"Answer": ANSWERS, "Evidence": _contents(evidence), "Audit": AUDIT},
        recommended=bool(recommendation),
        verdict=recommended or verdict(results, given),
        origin=audit.origin(timings, _shown(results)),
        taken=[look(name) for name in taken],
        own_file="" if recommendation or not given else OWN_FILE,
        answers=given,
        answers_table=answers_table(given, results.runs, advice=not recommendation),
        filters=_filters(results.conditions),
        evidence=evidence,
        panels=chart.panels(results),
        chart=chart,
        facts=audit.facts(experiment),
        paper="paper" in (experiment.get("protocols") or []),
        tables_at=os.path.relpath(tables, Path(out).parent),
        seen=provenance.tally(results.summary),
        legend=provenance.LEGEND,
        models=provenance.models_table(models, _named(experiment, "models"), _named(experiment, "corpora")),
        overlaps=provenance.overlaps_table(overlaps),
        left_out=provenance.left_out_table(left_out),
        left_out_kinds=sorted(set(left_out["contamination"])),
        left_out_count=len(left_out),
        experiment_json=json.dumps(experiment, indent=2, ensure_ascii=False, default=str),
        environments=audit.environments_table(timings),
        data=audit.data_table(molecules, rejects, tasks, scores, results.selected),
        remarks=audit.remarked(molecules, rejects, tasks),
        reasons=audit.reasons_table(rejects),
        rejected=audit.rejected_table(rejects),
        rejects_count=len(rejects),
        tasks=audit.tasks_table(tasks),
        undefined=audit.undefined_table(scores, results.selected),
        notes=audit.notes_table(results.runs),
        failures=audit.failures_table(timings),
        methods=[look(name) for name in methods],
        protocols=PROTOCOLS,
        table_lines=table_lines(),
        style=inline("page.css"),
        script=inline("page.js"),
    )
    with atomic(out) as temporary:
        temporary.write_text(html, encoding="utf-8")


def _named(experiment: Mapping[str, Any], key: str) -> provenance.About:
    """Return what an experiment says of its models or corpora by name; nothing where it only lists them."""
    described = experiment.get(key)
    return described if isinstance(described, Mapping) else {}


def _shown(results: Results) -> Iterator[tuple[str, Iterable[str]]]:
    """Yield what the page is about, title and values: datasets, labels, encoders."""
    facets = facets_of(results.conditions)
    seeds = results.selected["seed"].nunique()
    yield "Datasets", facets["dataset"]
    yield "Labels", [budget.removesuffix(" labels") for budget in map(budget_title, facets["budget"])]
    yield "Split", [split_title(split).removesuffix(" split") for split in facets["split"]]
    yield "Encoders" if len(facets["model"]) > 1 else "Encoder", facets["model"]
    yield "Seeds", [str(seeds)]
    yield "Protocol", facets["protocol"]


def _contents(evidence: Sequence[Filled]) -> list[tuple[str, str]]:
    return [(filled.section.key, filled.section.title) for filled in evidence]


def _filters(conditions: Sequence[Condition]) -> list[dict[str, Any]]:
    """Return the facets that vary, each with its values and their titles."""
    titles: dict[str, Callable[[str], str]] = {
        "split": lambda split: split_title(split).removesuffix(" split"),
        "budget": budget_title,
    }
    return [
        {
            "name": name,
            "title": scores_tables.TITLES[name],
            "options": [(value, titles.get(name, str)(value)) for value in values],
        }
        for name, values in facets_of(conditions).items()
        if len(values) > 1
    ]


def environment() -> Environment:
    """Return the environment that finds our templates and escapes everything filled into them."""
    found = Environment(
        loader=PackageLoader("roftmol", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"lean": lean, "labels": labels, "plain": lambda name: plain(str(name)), "tight": tight}
    found.filters["formula"] = formula
    return found


def formula(text: str) -> Markup:
    """Return a text in which the fine-tuned weights have their index below the line."""
    return escape(text).replace("θ_ft", Markup("θ<sub>ft</sub>"))


def inline(name: str) -> Markup:
    """Return one of our own files as markup that is put into the page unescaped."""
    return Markup((Path(__file__).parent / name).read_text(encoding="utf-8"))


def _figures(folder: Path, page: Path) -> list[dict[str, Any]]:
    """Return the manifest's entries, each with its pictures as data addresses: inlined SVGs would share their ids.

    The `page` links those pictures that would make it larger than `PICTURES`.
    """
    left = PICTURES
    try:
        manifest = json.loads((folder / "figures.json").read_text(encoding="utf-8"))
        for entry in manifest:
            wide, narrow = (base64.b64encode((folder / entry[key]).read_bytes()).decode() for key in ("file", "narrow"))
            left -= len(wide) + len(narrow)
            entry["embedded"] = left >= 0
            link = os.path.relpath(folder / entry["file"], page.parent)
            entry["address"] = f"{SVG}{wide}" if left >= 0 else link
            entry["narrow_address"] = f"{SVG}{narrow}"
            entry["link"] = link
    except FileNotFoundError as error:
        raise UserError(
            f"{error.filename}: this figure file is missing. Draw the figures again (rule plot)."
        ) from error
    return manifest
