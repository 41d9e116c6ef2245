"""The type of a column that is copied as it came, where files differ in theirs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

import pyarrow as pa

from catvec._checks import some
from catvec.errors import InputError
from catvec.frames._column import READ, family_of_type
from catvec.frames._keys import common_type, numbers_like


def settled(
    name: str, types: Collection[pa.DataType], read: Callable[[], Iterable[pa.Array]]
) -> pa.DataType:
    """The type in which the cells of several files are copied.

    Parameters
    ----------
    name : str
        The column, for the message.
    types : collection of pyarrow.DataType
        The types in which they came.
    read : callable
        All cells as they are read, file by file; asked only where numbers are of several types.

    Returns
    -------
    pyarrow.DataType
        That of all files; else the one that their cells are read in, or that Arrow finds for lists
        and whatever else is no category.

    Raises
    ------
    InputError
        If they have no type in common.
    """
    known = [kind for kind in dict.fromkeys(types) if not pa.types.is_null(kind)]
    if len(known) < 2:
        return known[0] if known else pa.null()
    family = family_of_type(known[0])
    if family == "number":
        floating = any(pa.types.is_floating(kind) for kind in known)
        return common_type(name, read(), pa.float64() if floating else pa.int64())
    if family in READ:
        return READ[family]
    schemas = [pa.schema([pa.field(name, kind)]) for kind in known]
    try:
        return pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise InputError(
            f"column {name!r} holds cells of the types {some(map(str, known))}, which have none in"
            " common; convert it to one type"
        ) from error


def as_type(name: str, array: pa.Array, kind: pa.DataType) -> pa.Array:
    """Cells in a type that was settled.

    Raises
    ------
    InputError
        If it does not hold them exactly.
    """
    if family_of_type(kind) == "number":
        return numbers_like(array, kind)
    try:
        return array.cast(kind)
    except pa.ArrowInvalid as error:
        raise InputError(f"column {name!r}: {error}; convert it to one type") from error
