# What all stages share: the experiment, and where commands find Python and the package.
import re
import shlex
import sys
from dataclasses import replace

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.settings.types import DeploymentMethod

# Where this workflow lies. `workflow.basedir` is the folder of whichever Snakefile was started, perhaps one that uses this
# workflow as a module.
HERE = Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).parent
PACKAGE = HERE / "workflow"
if not PACKAGE.is_dir():  # of github(), Snakemake brings a file at a time
    raise WorkflowError(
        "This workflow runs from a folder, for its jobs run the package beside its rules. Clone the repository and name "
        'the Snakefile of the clone: `module roftmol: snakefile: "CLONE/Snakefile"`.'
    )
sys.path.insert(0, str(PACKAGE))

from roftmol import statistics
from roftmol.cli import progress
from roftmol.core.errors import UserError
from roftmol.core.files import canonical_json
from roftmol.data.encoder_at_hand import encoders_at_hand
from roftmol.evaluation import aggregate, atom_embeddings, diagnostics
from roftmol.experiment import config as configuration, cost
from roftmol.experiment.claims import claim
from roftmol.methods import ALL_METHODS, DWISE_FT, FULL_FT, METHODS
from roftmol.registry import catalog
from roftmol.stages import STAGES


def stop(message):
    """End with a message and status 2: what is wrong is the user's input, not the workflow."""
    print(f"error: {message}", file=sys.stderr, flush=True)
    raise SystemExit(2)


def tell(words):
    """Say what the workflow has to say before it runs; only the process that was started does."""
    if workflow.is_main_process:
        logger.info(words, extra={"of_workflow": True})


def planned():
    """Return the core-seconds that each job to run takes at most, by its number; 0 without an estimate."""
    return {
        workflow.dag.jobid(job): ESTIMATE.seconds.get(
            (
                job.wildcards.get("model"),
                job.wildcards.get("panel") or job.wildcards.get("dataset"),
                job.wildcards.get("method"),
            ),
            0.0,
        )
        for job in workflow.dag.needrun_jobs()
        if job.message
    }


# Started by `roftmol recommend`, the workflow says in lines of its own what Snakemake would say.
if workflow.is_main_process and progress.asked():
    logger.addHandler(
        progress.Lines(
            progress.asked(),
            planned,
            cores=workflow.cores or 1,
            first=lambda target: OUT / target / "first" / "verdict.json",
        )
    )


def is_dry():
    """Whether nothing is to be made; Snakemake itself knows of a dry run only after the plan is read."""
    return any(re.fullmatch(r"-\w*n\w*|--dry-?run", word) for word in sys.argv)


def with_encoders(given):
    """Return a recommendation's configuration with the encoders that can be had, unless it names some."""
    options = given.get("recommend") or {}
    if options.get("models"):
        return given
    bring = workflow.is_main_process and not is_dry()
    at_hand = encoders_at_hand(Path("results/archives"), bring=bring)
    tell(at_hand.why)
    return {**given, "recommend": {**options, "models": list(at_hand.models)}}


try:
    EXPERIMENT = configuration.experiment(config)
    if workflow.is_main_process:
        if EXPERIMENT.recommendation:
            tell(EXPERIMENT.recommendation.learnt)
        EXPERIMENT.check_machine(
            environments=DeploymentMethod.CONDA
            in workflow.deployment_settings.deployment_method
        )
        for remark in EXPERIMENT.audit():
            tell(remark)
        if EXPERIMENT.recommendation and not is_dry():
            claim(EXPERIMENT.folder, Path(EXPERIMENT.recommendation.path))
    # A file that cannot be used is refused before anything is brought for it.
    if EXPERIMENT.recommendation:
        EXPERIMENT = configuration.experiment(with_encoders(config))
except UserError as error:
    stop(f"The configuration cannot be used.\n{error}")

RESULTS = Path("results")
# A recommendation's tables, figures and pages have a folder of their own; what is fitted has not.
OUT = EXPERIMENT.folder
# Of several targets, each has its folder in there: what is made of a target's cells alone has its wildcard.
PART = "{target}/" if EXPERIMENT.targets else ""
OF_TARGET = " for {wildcards.target}" if EXPERIMENT.targets else ""
TABLES = [f"{OUT}/{PART}tables/{name}.parquet" for name in aggregate.TABLES]
DIAGNOSTICS = [f"{OUT}/{PART}tables/{name}.parquet" for name in diagnostics.TABLES]
EMBEDDINGS = [f"{OUT}/{PART}tables/{name}.parquet" for name in atom_embeddings.TABLES]
STATISTICS = [f"{OUT}/{PART}tables/{name}.parquet" for name in statistics.TABLES]
BUNDLE = f"{OUT}/{OUT.name}.roftmol"
REPORT = f"{OUT}/{PART}{'evidence' if EXPERIMENT.recommendation else 'report'}.html"
RECIPES = catalog.recipes()


def environment():
    """What commands run in: our package and, unless conda gives one, the Python that runs snakemake."""
    exports = {"PYTHONPATH": str(PACKAGE)}
    if EXPERIMENT.mirror:
        exports["ROFTMOL_MIRROR"] = EXPERIMENT.mirror
    lines = [f"export {name}={shlex.quote(value)};" for name, value in exports.items()]
    if DeploymentMethod.CONDA not in workflow.deployment_settings.deployment_method:
        lines.append(
            f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH;"
        )
    return " ".join(lines)


def about(wildcards):
    """What of the experiment a job is about: one of several targets, or all."""
    return EXPERIMENT.about(wildcards.get("target", ""))


def others(wildcards):
    """The wildcards of a job, but for the target that it is about."""
    return {name: value for name, value in wildcards.items() if name != "target"}


def settings(stage):
    """Return the function of a rule's parameter `settings`: the settings of the stage's job, as JSON."""
    return lambda wildcards: canonical_json(
        STAGES[stage].settings_of(about(wildcards), others(wildcards))
    )


def code(stage):
    """Return the function of a rule's parameter `code`: a digest of the code that the job's result depends on."""
    return lambda wildcards: STAGES[stage].code_of(about(wildcards), others(wildcards))


def env(stage):
    """Return the path of a stage's conda environment."""
    return str(HERE / "envs" / f"{STAGES[stage].environment}.yaml")


def command(stage, *options, **paths):
    """Return the shell command of a stage, with its settings, these paths and its processes.

    A path is a name of Snakemake, such as "input.molecules", or else is taken as it is. `options` are for paths that
    the command can do without. What the command prints goes to terminal and log.
    """
    record = STAGES[stage]
    assert set(record.paths) <= set(paths) <= {*record.paths, *record.optional}, stage
    named = ("input", "output", "params")
    arguments = ["--settings {params.settings:q}"] if record.settings else []
    arguments += [
        f"--{name} {{{path}:q}}" if path.split(".")[0] in named else f"--{name} {path}"
        for name, path in paths.items()
    ]
    arguments += [*options, *(["--processes {threads}"] if record.parallel else [])]
    # Worker processes share the cores that the job has. Snakemake gives these variables the job's number of threads, and
    # OpenBLAS believes its own first.
    names = ("OMP", "OPENBLAS", "MKL")
    threads = (
        "".join(f"{name}_NUM_THREADS=1 " for name in names) if record.parallel else ""
    )
    return f"{threads}python -m roftmol {record.command} {' '.join(arguments)} 2>&1 | tee {{log:q}}"


def methods_of(kind):
    """Return a wildcard constraint: the methods that a stage runs."""
    return "|".join(
        re.escape(name) for name, method in ALL_METHODS.items() if method.kind == kind
    )


def named(key, known, name):
    """What the experiment knows by a name; a target of another one is the user's mistake."""
    if name not in known:
        stop(
            f"The target is of {name!r}, which this experiment does not name under `{key}`: add it there, "
            f"--config '{key}=[{name}]'"
        )
    return known[name]


def graphs_of(wildcards):
    """A dataset's graphs in the form that the model reads."""
    featurizer = named("models", EXPERIMENT.checkpoints, wildcards.model).featurizer
    return f"results/data/{wildcards.dataset}/graphs/{featurizer}.safetensors"


def panel_to_deal(wildcards):
    """The molecules of the datasets that a split deals together with one."""
    named("datasets", EXPERIMENT.datasets, wildcards.dataset)
    together = EXPERIMENT.dealt_with(wildcards.dataset, wildcards.split)
    return [f"results/data/{name}/molecules.parquet" for name in together]


def members_of(path):
    """A file of each dataset of a panel; {dataset} in its path is the dataset, {featurizer} what the model reads."""
    return lambda wildcards: [
        path.format(
            dataset=dataset,
            featurizer=named(
                "models", EXPERIMENT.checkpoints, wildcards.model
            ).featurizer,
            **{name: wildcards.get(name) for name in ("protocol", "split", "budget")},
        )
        for dataset in named("panels", EXPERIMENT.panels, wildcards.panel)
    ]


def runs_of(wildcards):
    """The fits of each cell that a job is about."""
    return [folder / "fits.parquet" for folder in about(wildcards).cells.runs(RESULTS)]


def auxiliary_of(wildcards):
    """What a second task learns from, and what a force field is measured on."""
    return EXPERIMENT.auxiliary_file(wildcards.model, wildcards.method) or []


def described(wildcards, name, datasets):
    """Files of descriptors of these datasets' molecules, where a point of the method's grid reads them."""
    read = name in EXPERIMENT.reads(wildcards.method)
    return [
        f"results/data/{dataset}/{name}.safetensors" for dataset in datasets if read
    ]


def described_members(wildcards):
    """Files of descriptors of a panel's molecules, for methods that read them."""
    members = named("panels", EXPERIMENT.panels, wildcards.panel)
    return [
        path
        for name in ("descriptors", "gfn2")
        for path in described(wildcards, name, members)
    ]


def descriptors_of(wildcards):
    """A dataset's descriptors by RDKit, for methods that read them."""
    return described(wildcards, "descriptors", [wildcards.dataset])


def gfn2_of(wildcards):
    """A dataset's descriptors by GFN2-xTB, for methods that read them."""
    return described(wildcards, "gfn2", [wildcards.dataset])


def run_of(wildcards, method, table):
    """A table of another method's run in the same cell."""
    cell = "{0.protocol}/{0.model}/{0.dataset}/{0.split}-{0.budget}".format(wildcards)
    return f"results/runs/{cell}/{method}/{table}.parquet"


def started_from(wildcards):
    """The fits whose weights that method starts from, if not from the pretrained encoder's."""
    source = METHODS[wildcards.method].starts_from
    return run_of(wildcards, source, "fits") if source else []


def encoder_of(wildcards):
    """The method whose encoders a head reads."""
    return ALL_METHODS[wildcards.method].encoder_of


def mixed_of(wildcards):
    """The fits whose weights that method mixes."""
    mixing = METHODS[encoder_of(wildcards)].mixing
    return run_of(wildcards, mixing.source, "fits") if mixing else []


def of_recipe(key, path):
    """A file that a recipe needs if it names something under `key`; {value} in its path is that."""
    return lambda wildcards: [
        path.format(recipe=wildcards.recipe, value=value)
        for value in [getattr(RECIPES[wildcards.recipe], key)]
        if value
    ]


def option(name, path):
    """An option of a command, where there is something to say."""
    return f"--{name} {shlex.quote(str(path))}" if path else ""


def own_code(wildcards):
    """The file of a user's own code behind a model or its featurizer: when it changes, what it made is made again."""
    name = wildcards.get("model") or wildcards.get("featurizer")
    own = EXPERIMENT.checkpoints.get(name)
    return [own.code] if own and own.code else []


def own_files(sources):
    """The files of the user's own among a registry entry's sources: when one changes, it is read again."""
    return [source.file for source in sources if source.kind == "path"]


def recommended(wildcards):
    """What a recommendation is; without a file there is none."""
    if EXPERIMENT.recommendation is None:
        stop(
            "recommend: name your file, snakemake recommend --cores all --config data=mine.csv"
        )
    pages = [
        f"{OUT}/{PART}{name}.html" for name in ("first/report", "report", "evidence")
    ]
    whole = [f"{OUT}/report.html", BUNDLE]
    return [*dict.fromkeys([*expand(pages, target=EXPERIMENT.targets or [""]), *whole])]


# A prefix replaces Snakemake's own, so it repeats its strictness: a stage that fails fails its job, whatever `tee` says.
shell.executable("bash")
shell.prefix(
    f"set -euo pipefail; source {shlex.quote(f'{HERE}/rules/stage.sh')}; {environment()}"
)
