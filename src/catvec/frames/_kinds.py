"""What a user asks of the table of a column, and what the network is told of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Any, NamedTuple

from catvec._checks import check_categorical, check_int, check_option, refuse, some
from catvec.errors import InputError

__all__ = ["COMBINATIONS", "FULL", "Kind", "TableSpec", "check_specs", "kinds_of", "read_specs"]

COMBINATIONS = ("sum", "product", "concatenate")
"""How the vectors of quotient and remainder make one."""

MOST = 10**9
"""Buckets, hash functions and exact rows at most: codes of 32 bits tell two billion rows apart."""


class Kind(NamedTuple):
    """How a network makes the vectors of a column.

    Attributes
    ----------
    name : {"full", "hashed", "sum", "product", "concatenate", "shared", "list"}
        A row by code; rows of several hash functions, summed with weights; two rows by code,
        combined; the rows of another column; or a row by code of each element of a list.
    number : int
        Hash functions of ``"hashed"``; rows of the table of remainders; the other column's place;
        which of the list columns it is.
    """

    name: str
    number: int = 0


FULL = Kind("full")


@dataclass(frozen=True)
class TableSpec:
    """What `tables` says of one column.

    Attributes
    ----------
    kind : {"full", "hashed", "compositional", "shared", "list"}
    n_buckets : int or None
        Rows shared by hashed values, or of the table of remainders; None for what fits the data.
    n_hashes : int
        Hash functions.
    n_exact : int
        Most frequent values of a hashed column that have rows of their own.
    combine : {"sum", "product", "concatenate"}
        Of quotient and remainder.
    share : str or None
        Column whose vocabulary and table are used.
    weights : str or None
        Column with lists of weights for those of a list column; without it lists are means.
    """

    kind: str = "full"
    n_buckets: int | None = None
    n_hashes: int = 1
    n_exact: int = 0
    combine: str = "sum"
    share: str | None = None
    weights: str | None = None


_OPTIONS = {
    "full": (),
    "hashed": ("n_buckets", "n_hashes", "n_exact"),
    "compositional": ("n_buckets", "combine"),
    "list": ("weights",),
}


def read_specs(tables: object) -> dict[str, TableSpec]:
    """What the parameter `tables` says by column.

    Parameters
    ----------
    tables : mapping of str to mapping, or None
        As the user gave it.

    Returns
    -------
    dict of str to TableSpec

    Raises
    ------
    ParameterError
        If it is no such mapping, or an entry is not known or out of range; the message names the
        column.
    """
    if tables is None:
        return {}
    if not isinstance(tables, Mapping):
        raise refuse("tables", "a mapping of columns to what their tables are to be", tables)
    return {str(name): _spec(f"tables[{name!r}]", entry) for name, entry in tables.items()}


def _spec(where: str, entry: object) -> TableSpec:
    if not isinstance(entry, Mapping) or not ("kind" in entry) ^ ("share" in entry):
        raise refuse(where, 'a mapping with "kind", or with "share"', entry)
    if "share" in entry:
        if len(entry) > 1 or not isinstance(entry["share"], str):
            raise refuse(where, '{"share": the name of a column} and nothing more', dict(entry))
        return TableSpec("shared", share=entry["share"])
    kind = check_option(f"{where}['kind']", entry["kind"], tuple(_OPTIONS))
    strange = [key for key in entry if key != "kind" and key not in _OPTIONS[kind]]
    if strange:
        allowed = some(_OPTIONS[kind]) or "nothing"
        raise refuse(f"{where}", f"of kind {kind!r} with {allowed} beside it", dict(entry))
    given: dict[str, Any] = {key: value for key, value in entry.items() if key != "kind"}
    for key, minimum in (("n_buckets", 1), ("n_hashes", 1), ("n_exact", 0)):
        if given.get(key) is not None:
            bounds = {"minimum": minimum, "maximum": MOST}
            given[key] = check_int(f"{where}[{key!r}]", given[key], **bounds)
    if given.get("weights") is not None and not isinstance(given["weights"], str):
        raise refuse(f"{where}['weights']", "the name of a column", given["weights"])
    if "combine" in given:
        check_option(f"{where}['combine']", given["combine"], COMBINATIONS)
    if kind == "hashed":
        given = {"n_hashes": 2, **given}
    return TableSpec(kind, **given)


def kinds_of(
    specs: Mapping[str, TableSpec], names: Sequence[str], n_known: Sequence[int]
) -> tuple[Kind, ...]:
    """What the network is told of each column.

    Parameters
    ----------
    specs : mapping of str to TableSpec
        By column; others have a full table.
    names : sequence of str
        The categorical columns.
    n_known : sequence of int
        Known categories of each.

    Returns
    -------
    tuple of Kind
        Empty where all tables are full.
    """
    kinds: list[Kind] = []
    for name, n in zip(names, n_known, strict=True):
        spec = specs.get(name, TableSpec())
        if spec.kind == "compositional":
            n_buckets = spec.n_buckets or max(1, ceil(sqrt(n)))
            kinds.append(Kind(spec.combine, n_buckets))
        elif spec.kind == "hashed" and spec.n_hashes > 1:
            kinds.append(Kind("hashed", spec.n_hashes))
        elif spec.kind == "list":
            kinds.append(Kind("list", sum(kind.name == "list" for kind in kinds)))
        elif spec.share is not None:
            kinds.append(Kind("shared", names.index(spec.share)))
        else:
            kinds.append(FULL)
    return tuple(kinds) if any(kind != FULL for kind in kinds) else ()


def check_specs(specs: Mapping[str, TableSpec], names: Sequence[str]) -> None:
    """Refuse columns that are not there, and ones that share a table which is itself shared.

    Raises
    ------
    InputError
        Naming the columns.
    """
    asked = [*specs, *(spec.share for spec in specs.values() if spec.share is not None)]
    check_categorical("tables", asked, names)
    for name, spec in specs.items():
        other = specs.get(spec.share or "", TableSpec())
        if spec.share == name or other.share is not None:
            raise InputError(
                f"`tables`: column {name!r} cannot share the table of {spec.share!r}, which has"
                " none of its own; name the column that has one"
            )
        if other.kind == "list":
            raise InputError(
                f"`tables`: column {name!r} cannot share the table of {spec.share!r}, which holds"
                " lists"
            )


def refuse_counts(counted: Iterable[str], specs: Mapping[str, TableSpec]) -> None:
    """Refuse counts of values of columns whose categories do not come from counts.

    Parameters
    ----------
    counted : iterable of str
        Columns of `vocabulary_counts`.
    specs : mapping of str to TableSpec
        With those of list columns.

    Raises
    ------
    InputError
        Naming the column, and what its table is.
    """
    for name in counted:
        kind = specs.get(name, TableSpec()).kind
        if kind not in ("full", "compositional"):
            raise InputError(
                f"`vocabulary_counts` counts values of column {name!r}, but its table is {kind}:"
                " leave its counts out"
            )
