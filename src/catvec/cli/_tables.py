"""``--table COLUMN=KIND``: what the parameter `tables` is on the command line."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from catvec.errors import InputError
from catvec.frames import COMBINATIONS

FORMS = (
    "hashed[:BUCKETS[:HASHES[:EXACT]]], compositional[:COMBINATION], shared:COLUMN,"
    " list[:WEIGHTS] or full"
)


def read_tables(given: Sequence[str] | None) -> dict[str, dict[str, Any]] | None:
    """What tables are to be, from ``user=hashed:262144`` and the like.

    Parameters
    ----------
    given : sequence of str, or None
        As the user wrote them.

    Returns
    -------
    dict of str to dict, or None
        As `tables` takes it.

    Raises
    ------
    InputError
        If one has another form, or a column comes twice; the message shows it.
    """
    found: dict[str, dict[str, Any]] = {}
    for text in given or ():
        parts = _FORM.fullmatch(text)  # of a name with "=" in it, up to where a kind follows
        if parts is None:
            raise _refused(text)
        column, kind, details = parts["column"], parts["kind"], parts["details"] or ""
        if column in found:
            raise InputError(f"--table says twice what the table of {column!r} is to be")
        found[column] = _READERS[kind](details, text)
    return found or None


def _refused(text: str) -> InputError:
    return InputError(
        f"--table must be COLUMN=KIND, such as user=hashed:262144 or away=shared:home, got"
        f" {text!r}; kinds are {FORMS}"
    )


# --- the kinds --------------------------------------------------------------------------


def _full(details: str, text: str) -> dict[str, Any]:
    if details:
        raise _refused(text)
    return {"kind": "full"}


def _hashed(details: str, text: str) -> dict[str, Any]:
    numbers = details.split(":") if details else []
    if len(numbers) > 3 or not all(number.isdecimal() and int(number) for number in numbers):
        raise _refused(text)
    sizes = dict(zip(("n_buckets", "n_hashes", "n_exact"), map(int, numbers), strict=False))
    return {"kind": "hashed", **sizes}


def _compositional(details: str, text: str) -> dict[str, Any]:
    if details and details not in COMBINATIONS:
        raise InputError(
            f"--table {text!r}: a compositional table combines by {', '.join(COMBINATIONS)}"
        )
    return {"kind": "compositional", **({"combine": details} if details else {})}


def _shared(details: str, text: str) -> dict[str, Any]:
    if not details:
        raise _refused(text)
    return {"share": details}


def _list(details: str, text: str) -> dict[str, Any]:
    del text
    return {"kind": "list", **({"weights": details} if details else {})}


_READERS: dict[str, Callable[[str, str], dict[str, Any]]] = {
    "full": _full,
    "hashed": _hashed,
    "compositional": _compositional,
    "shared": _shared,
    "list": _list,
}

_FORM = re.compile(rf"(?P<column>.+?)=(?P<kind>{'|'.join(_READERS)})(:(?P<details>.*))?", re.DOTALL)
