"""What the card of a bundle may say: a closed list of kinds, and a bound on every number that costs something.

A card is a text that anybody can write. It chooses among what is registered and runs nothing else: no user's own
module and no featurizer in a file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from roftmol.core.errors import UserError, printable
from roftmol.deploy import uncertainty
from roftmol.deploy.applicability_domain import DESCRIPTORS
from roftmol.encoders.checkpoints import check_bounds
from roftmol.features.featurizers import FEATURIZERS
from roftmol.methods import METHODS, WITHOUT_ENCODER
from roftmol.registry.encoder_kinds import ENCODER_KINDS
from roftmol.tasks import METRICS, TASKS

#: Version 2 calibrated on predictions out of sample, with an interval for each molecule and a domain with sizes;
#: version 3 names the featurizer on its card so; version 4 can hold heads, and reads as version 3 where it holds none;
#: version 5 has digests, without which earlier ones are read; version 6 is of several targets, each with its card.
FORMAT, VERSION, OF_TARGETS = "roftmol-bundle", 5, 6
OLDEST, NEWEST = 3, OF_TARGETS
#: The architectures that a bundle can hold: those of our own code that read molecules without geometry.
KINDS = tuple(name for name, kind in ENCODER_KINDS.items() if kind.featurizer in FEATURIZERS)
#: The most models in an ensemble.
MEMBERS = 100
#: The longest text that is shown, and the most sentences of a verdict.
CHARACTERS, SENTENCES = 10_000, 1000
#: The largest atomic number.
ELEMENTS = 118
#: What helps where a card says what it cannot.
MEND = "Make the bundle again, or ask for another copy."


class CardError(ValueError):
    """What is wrong with a card."""


def check(card: Any, where: Path | str) -> dict[str, Any]:
    """Return a card whose parts can be read, its texts with control characters written out.

    `where` it was read, such as its file, begins what is told.
    Raises `UserError` that names the part that is missing, of the wrong kind, or beyond its bounds.
    """
    try:
        return _checked(card, where)
    except CardError as error:
        raise UserError(f"{where}: its card cannot be read: {error}. {MEND}") from None
    except RecursionError as error:
        raise UserError(f"{where}: its card cannot be read: it is too deep. {MEND}") from error


def _checked(card: Any, where: Path | str) -> dict[str, Any]:
    plain = _plain(_object(card, "the card"))
    for key in ("target", "model", "featurizer_format"):
        _text(plain, key)
    for key, allowed in {"task": set(TASKS), "metric": set(METRICS), "method": set(METHODS)}.items():
        if _text(plain, key) not in allowed:
            raise CardError(f"{key} is {plain[key]!r}, which this program does not have")
    _whole(plain, "members", 1, MEMBERS)
    _whole(plain, "molecules", 1, None)
    _object(plain.get("setting"), "setting")
    if "classes" in plain:
        _classes(plain["classes"])
    _architecture(plain, where)
    scores = _object(plain.get("out_of_sample"), "out_of_sample")
    _text(scores, "metric")
    for key in ("score", "constant"):
        if not isinstance(score := scores.get(key), float) or not math.isnan(score):  # undefined in a part of one class
            _number(scores, key)
    labels = _object(plain.get("labels"), "labels")
    for key in ("min", "mean", "max"):
        _number(labels, key)
    if "limits" in labels:
        _whole(labels, "limits", 0, None)
    made = _object(plain.get("made"), "made")
    for key in ("date", "code", "python", "torch", "rdkit"):
        _text(made, key)
    _domain(_object(plain.get("domain"), "domain"))
    _calibration(_object(plain.get("calibration"), "calibration"), plain["task"])
    _evidence(plain.get("evidence"))
    return plain


def _classes(classes: Any) -> None:
    if not isinstance(classes, list) or len(classes) != 2 or not all(isinstance(name, str) for name in classes):
        raise CardError("classes is no list of two texts")


def _architecture(card: Mapping[str, Any], where: Path | str) -> None:
    architecture = card.get("architecture")
    if (architecture is None) != (card["method"] in WITHOUT_ENCODER):
        raise CardError(
            f"method is {card['method']!r}, which has {'an' if architecture is None else 'no'} architecture"
        )
    if architecture is None:
        return
    kind = _object(architecture, "architecture").get("kind")
    if kind not in KINDS:
        raise CardError(
            f"architecture.kind is {kind!r}; a bundle holds no code, and the kinds that are read are {', '.join(KINDS)}"
        )
    if (featurizer := card.get("featurizer")) != ENCODER_KINDS[kind].featurizer:
        raise CardError(
            f"featurizer is {featurizer!r}, and {kind} reads {ENCODER_KINDS[kind].featurizer}; no file is run for it"
        )
    check_bounds(where, architecture)


def _domain(domain: Mapping[str, Any]) -> None:
    _number(domain, "threshold")
    elements = domain.get("elements")
    if not isinstance(elements, list) or not all(type(one) is int and 1 <= one <= ELEMENTS for one in elements):
        raise CardError(f"domain.elements is no list of atomic numbers from 1 to {ELEMENTS}")
    ranges = _object(domain.get("ranges"), "domain.ranges")
    for name in DESCRIPTORS:
        ends = ranges.get(name)
        if not isinstance(ends, list) or len(ends) != 2 or not all(_is_number(end) for end in ends):
            raise CardError(f"domain.ranges has no two ends of {name}")
    if domain.get("unsure") is not None:
        _number(domain, "unsure")


def _calibration(calibration: Mapping[str, Any], task: str) -> None:
    kind = uncertainty.certainty_of(TASKS[task])
    if calibration.get("kind") != kind.kind:
        raise CardError(f"calibration.kind is {calibration.get('kind')!r}, and that of a {task} is {kind.kind!r}")
    if not all(_is_number(value) for value in _numbers(calibration)):
        raise CardError("calibration holds what is no finite number")
    try:
        read = kind.from_card(calibration)
        read.words()
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CardError(f"calibration is incomplete or of other kinds of values ({error})") from error


def _evidence(evidence: Any) -> None:
    if evidence is None:
        return
    sentences = _object(evidence, "evidence").get("sentences", [])
    if not isinstance(sentences, list) or len(sentences) > SENTENCES or not all(isinstance(s, str) for s in sentences):
        raise CardError(f"evidence.sentences is no list of at most {SENTENCES} texts")


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise CardError(f"{name} is not there, or no object")
    return value


def _text(values: Mapping[str, Any], key: str) -> str:
    text = values.get(key)
    if not isinstance(text, str):
        raise CardError(f"{key} is not there, or no text")
    return text


def _number(values: Mapping[str, Any], key: str) -> None:
    if not _is_number(values.get(key)):
        raise CardError(f"{key} is {values.get(key)!r} and not a finite number")


def _whole(values: Mapping[str, Any], key: str, least: int, most: int | None) -> None:
    number = values.get(key)
    if type(number) is not int or number < least or (most is not None and number > most):
        bounds = f"from {least} to {most:,}" if most else f"of at least {least}"
        raise CardError(f"{key} is {number!r} and not a whole number {bounds}")


def _is_number(value: Any) -> bool:
    """Whether a value is a finite number that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _numbers(value: Any) -> list[Any]:
    """Return all that is no text, at every depth; what is not there is none."""
    if isinstance(value, dict):
        return [number for entry in value.values() for number in _numbers(entry)]
    if isinstance(value, list):
        return [number for entry in value for number in _numbers(entry)]
    return [] if value is None or isinstance(value, str) else [value]


def _plain(value: Any) -> Any:
    """Return a value whose texts can be printed, none of them too long."""
    if isinstance(value, dict):
        return {_plain(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    if isinstance(value, str):
        if len(value) > CHARACTERS:
            raise CardError(f"a text has {len(value):,} characters, more than {CHARACTERS:,}")
        return printable(value)
    return value
