"""The methods, one file each. Adding one is adding its file, and here its line.

What the rest of the code needs to know of a method is in its record; the names below are of the few that have a part
of their own in comparisons, sentences and figures.
"""
# ruff: noqa: F401

# The order of the lines is that of every axis, legend and table, so they are not sorted.
# isort: off
from roftmol.methods.full_ft import METHOD as _FULL_FT
from roftmol.methods.linear_probing import METHOD as _LINEAR_PROBING
from roftmol.methods.surgical_ft import METHOD as _SURGICAL_FT
from roftmol.methods.lp_ft import METHOD as _LP_FT
from roftmol.methods.lp_ft_closed import METHOD as _LP_FT_CLOSED
from roftmol.methods.layerwise_decay import METHOD as _LAYERWISE_DECAY
from roftmol.methods.wise_ft import METHOD as _WISE_FT
from roftmol.methods.l2_sp import METHOD as _L2_SP
from roftmol.methods.bss import METHOD as _BSS
from roftmol.methods.feature_map import METHOD as _FEATURE_MAP
from roftmol.methods.dwise_ft import METHOD as _DWISE_FT
from roftmol.methods.mft import METHOD as _MFT
from roftmol.methods.mft_same_steps import METHOD as _MFT_SAME_STEPS
from roftmol.methods.mft_wise import METHOD as _MFT_WISE
from roftmol.methods.joint_ft import METHOD as _JOINT_FT
from roftmol.methods.joint_then_single import METHOD as _JOINT_THEN_SINGLE
from roftmol.methods.joint_wise_ft import METHOD as _JOINT_WISE_FT
from roftmol.methods.joint_dwise_ft import METHOD as _JOINT_DWISE_FT
from roftmol.methods.ridge import METHOD as _RIDGE
from roftmol.methods.kernel import METHOD as _KERNEL
from roftmol.methods.hybrid import METHOD as _HYBRID
from roftmol.methods.scratch import METHOD as _SCRATCH
from roftmol.methods.classical import METHOD as _CLASSICAL
from roftmol.methods.descriptors import METHOD as _DESCRIPTORS
from roftmol.methods.fingerprint import METHOD as _FINGERPRINT
from roftmol.methods.constant import METHOD as _CONSTANT
# isort: on

from roftmol.methods.base import Alternation, Method, Mixing, Settings, Step, setting_text
from roftmol.methods.with_heads import check_pair, head_of, with_heads

#: Every method by name, in the order of the lines above.
METHODS: dict[str, Method] = {line.name: line for line in tuple(globals().values()) if isinstance(line, Method)}

#: Those, and each that changes an encoder with each head in its own one's place: METHOD+HEAD.
ALL_METHODS: dict[str, Method] = with_heads(METHODS)

#: What an experiment runs that names no methods.
DEFAULT_METHODS = tuple(name for name, method in ALL_METHODS.items() if method.by_default)

#: Full fine-tuning: what others penalise, mix or freeze a part of.
FULL_FT = _FULL_FT.name
#: All datasets of a panel under one encoder.
JOINT_FT = _JOINT_FT.name
#: The frozen encoder under the network's own head.
LINEAR_PROBING = _LINEAR_PROBING.name
#: The mixing whose whole path is shown.
WISE_FT = _WISE_FT.name
#: The mixing whose solution spans a plane with full FT's.
DWISE_FT = _DWISE_FT.name
#: What says how much pretraining is worth.
SCRATCH = _SCRATCH.name
#: What says how much a network is worth.
FINGERPRINT = _FINGERPRINT.name
#: What says how much a network is worth beside the best that needs none.
CLASSICAL = _CLASSICAL.name
DESCRIPTORS = _DESCRIPTORS.name
#: What a frozen encoder is worth with a good head.
HYBRID = _HYBRID.name
#: What says whether there is anything to predict.
CONSTANT = _CONSTANT.name

#: The methods without an encoder, fitted once for all models; each with what stands where a model's name would.
WITHOUT_ENCODER = {name: method.model for name, method in METHODS.items() if method.model}
#: The methods that start from no pretrained weights, those without an encoder among them.
WITHOUT_PRETRAINING = tuple(name for name, method in ALL_METHODS.items() if not method.fine_tunes)
#: The methods whose weights others mix or start from, and that are kept for that whatever else an experiment has.
MIXED = frozenset(
    source
    for method in METHODS.values()
    for source in (method.mixing.source if method.mixing else "", method.starts_from)
    if source
)
#: What every other method is compared with: a column `vs_...` of table "summary", and a family of tests.
COMPARED = tuple(name for name, method in METHODS.items() if method.compared)
#: Those of them that a method should beat to be worth its cost. Who beats the constant has learnt something, no more.
BASELINES = tuple(name for name in COMPARED if name != CONSTANT)

__all__ = [
    "ALL_METHODS",
    "BASELINES",
    "CLASSICAL",
    "COMPARED",
    "CONSTANT",
    "DEFAULT_METHODS",
    "DESCRIPTORS",
    "DWISE_FT",
    "FINGERPRINT",
    "FULL_FT",
    "HYBRID",
    "JOINT_FT",
    "LINEAR_PROBING",
    "METHODS",
    "MIXED",
    "SCRATCH",
    "WISE_FT",
    "WITHOUT_ENCODER",
    "WITHOUT_PRETRAINING",
    "Alternation",
    "Method",
    "Mixing",
    "Settings",
    "Step",
    "check_pair",
    "head_of",
    "model_of",
    "of_panels",
    "setting_text",
    "single_of",
    "source_of",
    "with_sources",
]


def of_panels(method: str) -> bool:
    """Return whether a method needs a panel: it trains its datasets together, or goes on from what was trained so.

    A method that this version of the code does not have is none of those.
    """
    record = ALL_METHODS.get(method)
    if record is None:
        return False
    source = source_of(method)
    return of_panels(source) if source else record.joint is not None


def source_of(method: str) -> str:
    """Return the method whose fits a method mixes, starts from or puts another head on; "" if none."""
    record = ALL_METHODS[method]
    return record.encoder_of or (record.mixing.source if record.mixing else record.starts_from)


def with_sources(method: str) -> tuple[str, ...]:
    """Return a method after all whose fits it needs, the first of them first."""
    source = source_of(method)
    return (*with_sources(source), method) if source else (method,)


def single_of(method: str) -> str:
    """Return what a method of panels is compared with: full FT; with another head, that on the frozen encoder."""
    record = ALL_METHODS[method]
    return head_of(record) if record.encoder_of else FULL_FT


def model_of(method: str, model: str) -> str:
    """Return the model under which a method runs: the given one, or what stands for one."""
    return WITHOUT_ENCODER.get(method, model)
