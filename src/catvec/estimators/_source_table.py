"""What `fit` is given, opened: a table in memory, or one that need not fit into it, and its cache.

A source that is small is read, and goes the way of a table in memory.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catvec._checks import refuse
from catvec.errors import InputError
from catvec.estimators._parameters import SharedParameters, is_list
from catvec.frames import Frame, open_frame
from catvec.frames._chunk import Chunk, one_array
from catvec.frames._files import replacing
from catvec.frames._frame import resolve
from catvec.frames._source import Source, is_small, is_source, open_source, whole
from catvec.frames._survey import label_vector

MARK = "catvec-cache.json"  # what tells a cache from a folder of the user's
CHECKPOINTS = "checkpoints"


class Workspace:
    """The folder of one fit: codes, checkpoints and whatever else is on disk meanwhile.

    Parameters
    ----------
    cache : path, optional
        The folder, which stays if the fit does not end, and is taken up by the same fit begun
        again. By default a temporary one that is always removed.
    is_part : bool, default=False
        Whether it outlives its fit, to end with a folder that it is in.
    """

    def __init__(self, cache: str | Path | None, *, is_part: bool = False) -> None:
        self.is_kept, self._is_part = cache is not None, is_part
        self.folder = Path(tempfile.mkdtemp(prefix="catvec-") if cache is None else cache)
        if self.is_kept:
            self._claim()

    def _claim(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"`cache` {str(self.folder)!r} is no folder to write to: {error.strerror}"
            ) from error
        if any(self.folder.iterdir()) and not (self.folder / MARK).exists():
            raise InputError(
                f"`cache` {str(self.folder)!r} holds other files; choose a new or an empty folder"
            )
        if not (self.folder / MARK).exists():
            self._write_mark({})

    def begin(self, fingerprint: Any, seed: int) -> int:
        """Take up what is there if it is of the same fit, else clear it; of a cache that is kept.

        Parameters
        ----------
        fingerprint : JSON-able
            What tells a fit of this table with these parameters from others.
        seed : int
            Of the fit, if it is a new one.

        Returns
        -------
        int
            The seed to go on with.
        """
        mark = json.loads((self.folder / MARK).read_text())
        fingerprint = json.loads(json.dumps(fingerprint, default=repr))
        if mark.get("fingerprint") != fingerprint:
            shutil.rmtree(self.folder / CHECKPOINTS, ignore_errors=True)
            mark = {"fingerprint": fingerprint, "seed": seed}
            self._write_mark(mark)
        return int(mark["seed"])

    def part(self, name: str) -> Workspace:
        """A workspace in it, for one of several fits: to go on from the last needs them all."""
        return Workspace(self.folder / name, is_part=True)

    def fresh(self, name: str) -> Path:
        """An empty folder in it."""
        shutil.rmtree(self.folder / name, ignore_errors=True)
        return self.shared(name)

    def shared(self, name: str) -> Path:
        """A folder in it, with what it holds."""
        try:
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"could not write to {str(self.folder)!r}: {error.strerror or error}"
            ) from error
        return self.folder / name

    def end(self, *, done: bool) -> None:
        """Remove the folder, unless a fit that did not end may be taken up again.

        What that needs are its checkpoints, or those of its parts: rows on disk are made again.
        """
        leads_on = done or any(self.folder.rglob(f"{CHECKPOINTS}/*"))
        if not self.is_kept or (done and not self._is_part) or not leads_on:
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        for path in self.folder.iterdir():
            if path.name not in (MARK, CHECKPOINTS) and not (path / MARK).exists():
                shutil.rmtree(path, ignore_errors=True)

    def _write_mark(self, content: Any) -> None:
        with replacing(self.folder / MARK) as temporary:
            temporary.write_text(json.dumps(content))


@dataclass(frozen=True, eq=False)
class SourceTable:
    """A table that is larger than memory, and which of its columns say something about rows.

    Attributes
    ----------
    source : Source
    target : str
    weight, groups : str or None
        Columns with the weights of the rows, and what binds them.
    workspace : Workspace
    vocabulary_counts : mapping of str to table
        Values and counts that need not be counted.
    """

    source: Source
    target: str
    weight: str | None
    groups: str | None
    workspace: Workspace
    vocabulary_counts: Mapping[str, Any]


def hidden_columns(
    p: SharedParameters,
    names: Sequence[str],
    target: str | None,
    weight: str | None,
    groups: str | None,
) -> list[str]:
    """Columns that say something about rows and are no features.

    Parameters
    ----------
    p : SharedParameters
        What binds rows may be a feature as well, or their time, if its parameters say so.
    names : sequence of str
        All columns of the table, which positions count.
    target, weight, groups : str or None
        Names of columns.

    Raises
    ------
    InputError
        If the target or the weights would be a feature, or the time, or a position is none.
    """
    time = None if p.time_column is None else [p.time_column]
    named = {"columns": p.columns, "time_column": time}
    asked = {
        name: parameter
        for parameter, columns in named.items()
        if columns is not None
        for name in resolve(names, columns, parameter)
    }
    for name, what in ((target, "the target"), (weight, "the weights of the rows")):
        if name in asked:
            raise InputError(f"column {name!r} holds {what}; leave it out of `{asked[name]}`")
    hidden = [name for name in (target, weight, groups) if name is not None and name not in asked]
    _refuse_ambiguous(p, names, [name for name in names if name not in hidden])
    return hidden


def _refuse_ambiguous(p: SharedParameters, names: Sequence[str], seen: Sequence[str]) -> None:
    """Refuse positions in `pairs`, which count features, where they are not those of the table."""
    positions = [c for pair in p.pairs for c in pair] if is_list(p.pairs) else []
    for c in positions:
        if isinstance(c, str):
            continue
        if resolve(names, [c], "pairs") != resolve(seen, [c], "pairs"):
            raise InputError(
                f"`pairs` names a column by its position {c}, which is not clear where other"
                " columns of the table are the target, weights or groups; give its name"
            )


@contextmanager
def opened(
    p: SharedParameters,
    X: object,
    y: object,
    data: dict[str, Any],
    *,
    vocabulary_counts: Mapping[str, Any] | None = None,
    cache: str | Path | Workspace | None = None,
    kept: Sequence[str] = (),
) -> Iterator[tuple[object, object, dict[str, Any]]]:
    """What to fit to: table, target and the rest, with names of columns looked up.

    Parameters
    ----------
    p : SharedParameters
        Of the fit.
    X : table or source
    y : array-like, or str
        A str names the column of the target, which a source needs.
    data : dict
        Other arguments of `fit`; `sample_weight` and `groups` may name columns, too.
    vocabulary_counts, cache
        As `fit` takes them; or, in place of the folder, the workspace.
    kept : sequence of str
        Columns to copy, whether they are features or not.

    Yields
    ------
    X : table or SourceTable
    y : array-like or None
    data : dict
    """
    counts = vocabulary_counts or {}
    if not isinstance(counts, Mapping):
        raise refuse("vocabulary_counts", "a mapping of tables by column", counts)
    if not is_source(X):
        yield (
            _with_columns(p, open_frame(X), y, data, counts)
            if _names_any(y, data)
            else (
                X,
                y,
                data | ({"vocabulary_counts": counts} if counts else {}),
            )
        )
        return
    workspace = cache if isinstance(cache, Workspace) else Workspace(cache)
    done = False
    try:
        source = open_source(X, workspace.folder / "frames")
        _check_names(source, y, data, kept)
        data = data | {"X_val": _whole_source(data.get("X_val"), workspace.folder / "X_val")}
        data = _named_validation(data, str(y))
        if is_small(source):
            frame = open_frame(whole(source, kept=kept))
            others = [name for name in frame.names if name not in source.names]
            yield _with_columns(p, frame, y, data, counts, others)
        else:
            weight, groups = data.pop("sample_weight", None), data.pop("groups", None)
            yield SourceTable(source, str(y), weight, groups, workspace, counts), None, data
        done = True
    finally:
        workspace.end(done=done)


# --- inside -----------------------------------------------------------------------------


def _names_any(y: object, data: Mapping[str, Any]) -> bool:
    return any(isinstance(v, str) for v in (y, data.get("sample_weight"), data.get("groups")))


def _with_columns(
    p: SharedParameters,
    frame: Frame,
    y: object,
    data: dict[str, Any],
    counts: Mapping[str, Any],
    others: Sequence[str] = (),
) -> tuple[object, object, dict[str, Any]]:
    """A table without the columns that are named for something else, and these."""
    rows = Chunk(frame, "the table", 0)
    data = data | ({"vocabulary_counts": counts} if counts else {})
    given = (y, data.get("sample_weight"), data.get("groups"))
    target, weight, groups = (name if isinstance(name, str) else None for name in given)
    frame = frame.without(others, counted=False)
    hidden = hidden_columns(p, frame.names, target, weight, groups)
    if target is not None:
        data = _named_validation(data, target)
        y = label_vector(one_array(rows.column(target)))
    if weight is not None:
        data = {**data, "sample_weight": rows.column(weight).floats()}
    if groups is not None:
        data = {**data, "groups": one_array(rows.column(groups))}
    return frame.without(hidden), y, data


def _named_validation(data: dict[str, Any], y: str) -> dict[str, Any]:
    """The target of rows to choose by, where it is a column of them."""
    X_val, y_val = data.get("X_val"), data.get("y_val")
    if X_val is None or not (y_val is None or isinstance(y_val, str)):
        return data
    frame = open_frame(X_val)
    column = Chunk(frame, "X_val", 0).column(y_val or y)
    return {**data, "X_val": frame, "y_val": label_vector(one_array(column))}


def _whole_source(X: object, folder: Path) -> object:
    return whole(open_source(X, folder)) if X is not None and is_source(X) else X


def _check_names(source: Source, y: object, data: Mapping[str, Any], kept: Sequence[str]) -> None:
    if not isinstance(y, str):
        raise refuse("y", "the name of the target's column, as X is read from disk", y)
    for parameter in ("sample_weight", "groups"):
        if not isinstance(data.get(parameter), str | None):
            what = "the name of a column, as X is read from disk"
            raise refuse(parameter, what, data[parameter])
    for name in (y, data.get("sample_weight"), data.get("groups")):
        if name is not None and name not in source.names:
            raise InputError(f"no column {name!r} in {source.label}; it has {list(source.names)}")
    for name in kept:
        if name not in source.kinds:  # which knows the columns that are left out, too
            raise InputError(f"no column {name!r} in {source.label}, to be kept")
