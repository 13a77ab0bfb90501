"""METHOD+HEAD: a method's encoders, and on their vectors a head that is fitted in closed form.

A method's vectors and its head are judged together, and a network's head is a weak one where labels are few. With the
same good head on all of them, the encoders alone are compared. Every method that changes an encoder goes with every
head that reads vectors; the records are made here from the two methods'. What trains or mixes is METHOD alone, with its
grid, and what it selects by validation is what the head reads (`training/tuned_heads.py`). The head has its own grid.
"""

from __future__ import annotations

from collections.abc import Mapping

from roftmol.core.errors import UserError
from roftmol.methods.base import Method

#: Between a method's name and a head's.
PLUS = "+"


def refitted(method: str, head: str) -> str:
    """Return the name of a method whose head is refitted."""
    return f"{method}{PLUS}{head}"


def with_head(method: Method, head: Method) -> Method:
    """Return the method whose head is refitted: in a lighter shade of the method's colour, with the head's marker."""
    return Method(
        name=refitted(method.name, head.name),
        title=f"{method.title} + {_lower(head.title)}",
        mechanism=method.mechanism,
        summary=f"The encoder of {method.title}; its head is replaced. {head.summary.replace('frozen', 'resulting')}",
        paper=method.paper,
        colour=_lighter(method.colour),
        marker=head.marker,
        settings=head.settings,
        grid=head.grid,
        reads=head.reads,
        head=head.head,
        pretrained=method.pretrained,
        encoder_of=method.name,
        by_default=head.name in method.default_heads,
    )


def head_of(method: Method) -> str:
    """Return the name of the head of METHOD+HEAD; of any other method its own."""
    return method.name.removeprefix(f"{method.encoder_of}{PLUS}")


def with_heads(methods: Mapping[str, Method]) -> dict[str, Method]:
    """Return the methods, each followed by itself with every head, by name and in their order."""
    heads = [head for head in methods.values() if head.reads_encoder]
    every: dict[str, Method] = {}
    for name, method in methods.items():
        every[name] = method
        if method.changes_encoder:
            derived = (with_head(method, head) for head in heads)
            every |= {each.name: each for each in derived}
    return every


def check_pair(key: str, name: str, methods: Mapping[str, Method]) -> None:
    """Raise `UserError` for METHOD+HEAD of two methods that there are, and that do not go together."""
    first, plus, second = name.partition(PLUS)
    if not plus or first not in methods or second not in methods:
        return
    if not methods[second].reads_encoder:
        heads = ", ".join(head.name for head in methods.values() if head.reads_encoder)
        raise UserError(
            f"{key}: {name}: {second} is no head on an encoder's vectors; after {PLUS} comes one of {heads}"
        )
    if not methods[first].changes_encoder:
        without = f"{first} leaves the encoder as it is" if methods[first].fine_tunes else f"{first} has no encoder"
        raise UserError(f"{key}: {name}: {without}; the head on the frozen encoder is called {second}")


def _lighter(colour: str) -> str:
    """Return a colour a third of the way to white, so that no method's own marker is in it."""
    parts = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return "#" + "".join(f"{part + round((255 - part) / 3):02X}" for part in parts)


def _lower(title: str) -> str:
    return title[:1].lower() + title[1:]
