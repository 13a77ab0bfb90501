# What all stages share: the experiment, and where commands find Python and the package.
import shlex
import sys
from functools import cache

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.settings.types import DeploymentMethod

sys.path.insert(0, f"{workflow.basedir}/workflow")

from roftmol import statistics
from roftmol.core import source_code
from roftmol.core.errors import UserError
from roftmol.core.files import canonical_json, code_digest
from roftmol.core.paths import DWISE_FT, FULL_FT
from roftmol.evaluation import aggregate, atom_embeddings, diagnostics
from roftmol.experiment import config as configuration, cost
from roftmol.methods import METHODS


def stop(message):
    """End with a message and status 2: what is wrong is the user's input, not the workflow."""
    print(f"error: {message}", file=sys.stderr, flush=True)
    raise SystemExit(2)


try:
    EXPERIMENT = configuration.experiment(config)
    if workflow.is_main_process:
        EXPERIMENT.audit()
except UserError as error:
    stop(f"The configuration cannot be used.\n{error}")

RESULTS = Path("results")
# A recommendation's tables, figures and pages have a folder of their own; what is fitted has not.
OUT = EXPERIMENT.folder
TABLES = [f"{OUT}/tables/{name}.parquet" for name in aggregate.TABLES]
DIAGNOSTICS = [f"{OUT}/tables/{name}.parquet" for name in diagnostics.TABLES]
EMBEDDINGS = [f"{OUT}/tables/{name}.parquet" for name in atom_embeddings.TABLES]
STATISTICS = [f"{OUT}/tables/{name}.parquet" for name in statistics.TABLES]
BUNDLE = f"{OUT}/{OUT.name}.roftmol"
REPORT = f"{OUT}/{'evidence' if EXPERIMENT.recommendation else 'report'}.html"
RECIPES = configuration.recipes()


def environment():
    """What commands run in: our package and, unless conda gives one, the Python that runs snakemake."""
    exports = {"PYTHONPATH": f"{workflow.basedir}/workflow"}
    if EXPERIMENT.mirror:
        exports["ROFTMOL_MIRROR"] = EXPERIMENT.mirror
    lines = [f"export {name}={shlex.quote(value)};" for name, value in exports.items()]
    if DeploymentMethod.CONDA not in workflow.deployment_settings.deployment_method:
        lines.append(
            f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH;"
        )
    return " ".join(lines)


def settings(stage):
    """The parameter `settings`: this method of the experiment takes the wildcards."""
    return lambda wildcards: canonical_json(stage(**dict(wildcards.items())))


@cache  # thousands of jobs ask for a few digests
def code(*modules, leaves=()):
    """The parameter `code`: it changes when, and only when, the code that the result depends on does."""
    return code_digest(source_code.sources(modules, leaves))


def methods_of(kind):
    """A wildcard constraint: the methods that a stage runs."""
    return "|".join(name for name, method in METHODS.items() if method.kind == kind)


def method_code(*leaves):
    """The parameter `code` of one method's runs: no other method's code counts."""
    return lambda wildcards: code(
        "roftmol.training.jobs",
        f"roftmol.methods.{wildcards.method}",
        leaves=("roftmol.methods", *leaves),
    )


def baseline_code(wildcards):
    """The parameter `code` of one reference without an encoder."""
    return code(
        "roftmol.training.references",
        f"roftmol.methods.{wildcards.method}",
        leaves=("roftmol.methods",),
    )


def graphs_of(wildcards):
    """A data set's graphs in the form that the model reads."""
    featuriser = EXPERIMENT.checkpoints[wildcards.model].featuriser
    return f"results/data/{wildcards.dataset}/graphs/{featuriser}.safetensors"


def auxiliary_of(wildcards):
    """What a second task learns from, and what a force field is measured on."""
    return EXPERIMENT.auxiliary_file(wildcards.model, wildcards.method) or []


def option(name, path):
    """An option of a command, where there is something to say."""
    return f"--{name} {shlex.quote(str(path))}" if path else ""


def own_code(wildcards):
    """The file of a user's own code behind a model or its featuriser: when it changes, what it made is made again."""
    name = wildcards.get("model") or wildcards.get("featuriser")
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
    return [f"{OUT}/report.html", f"{OUT}/evidence.html", BUNDLE]


# A prefix replaces Snakemake's own, so it repeats its strictness: a stage that fails fails its job, whatever `tee` says.
shell.executable("bash")
shell.prefix(
    f"set -euo pipefail; source {shlex.quote(f'{workflow.basedir}/rules/stage.sh')}; {environment()}"
)
