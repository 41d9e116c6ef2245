"""``catvec neighbors`` and ``catvec export``: look at vectors, and hand them to other tools."""

from __future__ import annotations

import contextlib
import difflib
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from catvec.cli import _options as options
from catvec.cli._console import Output, grid, plural, shown, signed
from catvec.cli._places import check_out
from catvec.errors import CategoryError, InputError
from catvec.vectors import CategoryVectors, ColumnVectors

MOST_FILES = 2  # named one by one
COMPARED = 20_000  # categories a misspelt one is compared with


def neighbors(
    model: options.Artifact,
    column: options.Column,
    category: options.Category,
    topn: options.TopN = 10,
    json: options.Json = False,
) -> None:
    """Show the categories whose vectors are most similar to that of a category.

    [bold]Example:[/bold] catvec neighbors sales.catvec Store 262
    """
    output = Output(as_json=json)
    known = column_of(CategoryVectors.load(model), column)
    key = known_key(known, category)
    found = known.most_similar(key, topn=topn)
    head = {"column": column, **_facts(known, key)}
    rows = [{**_facts(known, name), "cosine": cosine} for name, cosine in found]
    _print_neighbors(output, head, rows)
    output.result({**head, "neighbors": rows})


def export(
    model: options.Artifact,
    format: options.Format,
    out: options.FilesOut,
    column: options.OneColumn = None,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> None:
    """Write vectors for other tools: Parquet, word2vec text (gensim), the embedding projector.

    [bold]Example:[/bold] catvec export sales.catvec --format word2vec --column Store -o stores.txt
    """
    from catvec.vectors._export import export as write

    output = Output(quiet, json)
    check_out(out, model=model)
    if format == "parquet" and Path(out).suffix != ".parquet":
        raise InputError(f"--format parquet writes a file that ends in .parquet, got {out!r}")
    vectors = CategoryVectors.load(model)
    if column is not None and column not in vectors.pairs:
        column_of(vectors, column)
    files = [str(path) for path in write(vectors, Path(out), format, column)]
    many = len(files) > MOST_FILES
    for file in [f"{len(files)} files to {out}"] if many else files:
        output.line(f"wrote {file}")
    output.result({"format": format, "files": files})


def column_of(vectors: CategoryVectors, name: str) -> ColumnVectors:
    """A column of an artifact; an `InputError` that lists them if there is no such column."""
    if name not in vectors:
        close = difflib.get_close_matches(name, vectors.columns, n=3)
        names = " or ".join(map(repr, close)) if close else ", ".join(map(repr, vectors.columns))
        raise InputError(
            f"no categorical column {name!r} in the model; "
            + (f"did you mean {names}?" if close else f"it has {names}")
        )
    return vectors[name]


def known_key(column: ColumnVectors, text: str) -> Any:
    """The category that a text on the command line means.

    Parameters
    ----------
    column : ColumnVectors
        Its categories; they may be numbers, booleans or dates.
    text : str
        What was typed.

    Returns
    -------
    object

    Raises
    ------
    CategoryError
        If there is no such category; it names close ones.
    """
    for family in column.vocabulary.families:
        key = _read(text, family)
        if key is not None and key in column:
            return key
    close = _close(column, text)
    hint = f"; did you mean {' or '.join(map(shown, close))}?" if close else ""
    raise CategoryError(f"column {column.name!r} has no category {shown(text)}{hint}")


def _read(text: str, family: str) -> Any:
    """A text as a key of a family; None if it cannot be one."""
    if family == "text":
        return text
    if family == "boolean":
        return {"true": True, "false": False}.get(text.lower())
    with contextlib.suppress(ValueError, OverflowError):
        if family == "date":
            return datetime.fromisoformat(text)
        return int(text)
    with contextlib.suppress(ValueError):
        return float(text)
    return None


def _close(column: ColumnVectors, text: str) -> list[Any]:
    """Categories that may have been meant: alike as text, or near as numbers."""
    categories = column.categories
    if column.vocabulary.families == ("number",):
        with contextlib.suppress(ValueError, OverflowError):
            far = np.abs(categories - float(text))
            return list(np.sort(categories[np.argsort(far)[:3]])) if np.isfinite(far).all() else []
        return []
    by_text = {str(c): c for c in categories[:COMPARED].tolist()}
    alike = [name for name in by_text if name.casefold() == text.casefold()]
    alike = alike or difflib.get_close_matches(text, by_text, n=3)
    alike = alike or [name for name in by_text if text and text.casefold() in name.casefold()]
    return [by_text[name] for name in alike[:3]]


def _facts(column: ColumnVectors, category: object) -> dict[str, Any]:
    code = column.vocabulary.code(category)
    return {
        "category": category,
        "count": int(column.vocabulary.counts[code]),
        "effect": column.effect(category),
        "confidence": column.confidence(category),
    }


def _print_neighbors(output: Output, head: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    has_target = any(row["confidence"] for row in [head, *rows])  # else there are no effects
    effect = f", effect {_effect(head['effect'])}, confidence {head['confidence']:.2f}"
    output.heading(
        f"{shown(head['category'])} in {shown(head['column'])}",
        plural(head["count"], "row") + (effect if has_target else ""),
    )
    titles = [("cosine", "right"), ("rows", "right"), ("effect", "right"), ("confidence", "right")]
    table = grid("most similar", *(titles if has_target else titles[:2]))
    for row in rows:
        numbers = [f"{row['cosine']:.2f}", f"{row['count']:,}"]
        effects = [_effect(row["effect"]), f"{row['confidence']:.2f}"] if has_target else []
        table.add_row(shown(row["category"], 34), *numbers, *effects)
    output.table(table)
    if not rows:
        output.text("There is no other category in this column.", indent=2)


def _effect(effect: Any) -> str:
    if np.ndim(effect):  # one by class: where the shift is largest
        effect = effect[np.argmax(np.abs(effect))]
    return signed(float(effect))
