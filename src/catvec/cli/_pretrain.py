"""``catvec pretrain``: vectors of items from baskets, sessions or the table itself."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from catvec.cli import _options as options
from catvec.cli._console import Output, grid, listed, plural, seconds, shown
from catvec.cli._places import check_model_out, open_input
from catvec.cli._progress import EpochProgress
from catvec.errors import InputError
from catvec.frames._files import file_format
from catvec.frames._lists import is_list_type
from catvec.frames._source import is_several
from catvec.vectors import ColumnVectors

if TYPE_CHECKING:
    from catvec.estimators import EmbeddingPretrainer
    from catvec.pretraining import Benefit

LARGE = 200 << 20  # bytes of a Parquet file that is not read into memory
EXAMPLES = 3  # items whose nearest are shown, by column


def pretrain(
    table: options.Table,
    out: options.VectorsOut,
    sequence: options.Sequence = None,
    item: options.Item = None,
    order: options.Order = None,
    method: options.Method = "cooccurrence",
    embedding_dim: options.OneWidth = "auto",
    min_frequency: options.MinFrequency = 1,
    window: options.Window = None,
    epochs: options.MostEpochs = None,
    seed: options.Seed = 0,
    benefit: options.Benefit = True,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> None:
    """Learn vectors without a target: from baskets, from sessions, or from the table itself.

    Items that meet in a sequence get similar vectors. --method table compares the columns of each
    row instead. What is saved works with neighbors, export and encode. Whether the sequences hold
    any structure is told on sequences held out (--no-benefit leaves that out).

    [bold]Example:[/bold] catvec pretrain baskets.parquet --sequence basket --item product -o
    items.catvec
    """
    from catvec.estimators import EmbeddingPretrainer

    output, start = Output(quiet, json), time.perf_counter()
    check_model_out(out, table)
    _refuse_idle(method, sequence, order, window, epochs)
    in_order = window is not None and sequence is None  # lists, as rows have a sequence
    with EpochProgress(output.notes, quiet=quiet) as progress:
        pretrainer = EmbeddingPretrainer(
            method=method,
            sequence=sequence,
            item=item or None,
            order=True if in_order else order,
            embedding_dim=options.width(embedding_dim),
            min_frequency=min_frequency,
            window=EmbeddingPretrainer.window if window is None else window,
            max_epochs=EmbeddingPretrainer.max_epochs if epochs is None else epochs,
            random_state=seed,
            callback=progress.pretraining,
        )
        rows = _rows(table, pretrainer)
        pretrainer.fit(rows)
        pretrainer.save(out)
        found = _benefit(pretrainer, rows, progress) if benefit else None
    took = time.perf_counter() - start
    _print_page(output, table, pretrainer, found, out, took)
    output.result(_facts(pretrainer, found, out, took))


def _refuse_idle(
    method: str, sequence: str | None, order: str | None, window: int | None, epochs: int | None
) -> None:
    """Refuse options that would change nothing."""
    if epochs is not None and method != "skipgram":
        raise InputError(
            f"--epochs is about passes of --method skipgram, and {method} counts what meets once;"
            " leave --epochs out"
        )
    if window is not None and method == "table":
        raise InputError(
            "--window is about sequences in an order, and --method table compares the columns of"
            " a row; leave --window out"
        )
    if window is not None and order is None and sequence is not None and method != "skipgram":
        raise InputError(
            "--window is about sequences in an order, and these are baskets, of which all items"
            " meet; name the column of the order by --order"
        )
    if order is not None and sequence is None and method != "table":
        raise InputError(
            "--order is about rows of a sequence, and lists have an order of their own; name the"
            " column that tells which rows belong together by --sequence, or leave --order out"
        )


def _rows(table: str, pretrainer: EmbeddingPretrainer) -> Any:
    """The columns that are needed, all where the categorical ones are to be found; or the path."""
    items = list(pretrainer.item or [])
    if not items and pretrainer.method != "table":
        raise InputError("name the column of the items by --item")
    others = [name for name in (pretrainer.sequence, pretrainer.order) if isinstance(name, str)]
    if _is_large(table):
        return table
    rows = open_input(table).read(list(dict.fromkeys([*items, *others])) if items else None)
    alone = [name for name in items if not is_list_type(rows[name].type)]
    if alone and pretrainer.sequence is None and pretrainer.method != "table":
        raise InputError(
            f"column {alone[0]!r} holds no lists; name the column that tells which rows belong"
            " together by --sequence"
        )
    return rows


def _is_large(table: str) -> bool:
    """Whether it is read from disk while it is worked on: a folder, a pattern, a large file."""
    path = Path(table)
    if not path.is_file():
        return is_several(path)
    return file_format(path) == "parquet" and path.stat().st_size > LARGE


def _benefit(pretrainer: EmbeddingPretrainer, rows: Any, progress: EpochProgress) -> Benefit | None:
    """Whether there is structure; None where there are too few sequences to tell."""
    progress.step("comparing with shuffled sequences")
    try:
        return pretrainer.set_params(callback=None).benefit(rows)
    except InputError:  # the fit went well, so nothing but their number is at fault
        return None


# --- the page ---------------------------------------------------------------------------


def _print_page(
    output: Output,
    table: str,
    pretrainer: EmbeddingPretrainer,
    benefit: Benefit | None,
    out: str,
    took: float,
) -> None:
    vectors = pretrainer.vectors_
    events = plural(pretrainer.n_events_, "event")
    of_what = "row" if pretrainer.method == "table" else "sequence"
    said = f"{events} in {plural(pretrainer.n_sequences_, of_what)}"
    output.heading(table, said if of_what == "sequence" else plural(pretrainer.n_events_, "row"))
    output.heading("What was learned", f"{_method(pretrainer)}, {seconds(took)}")
    lines = grid("column", ("items", "right"), ("width", "right"), ("rows", "right"))
    for name in vectors:
        column = vectors[name]
        counts = f"{column.vocabulary.counts.sum():,}"
        lines.add_row(shown(name), f"{len(column):,}", str(column.embedding_dim), counts)
    output.table(lines)
    for name in vectors:
        _print_examples(output, vectors[name])
    if benefit is not None:
        output.heading("Is there structure?")
        output.text(str(benefit), indent=2, style="" if benefit.found else "yellow")
    output.heading("Next", f"saved to {out}")
    output.commands(_next(vectors[vectors.columns[0]], out))


def _method(pretrainer: EmbeddingPretrainer) -> str:
    last = pretrainer.history_[-1]
    if pretrainer.method != "skipgram":
        return f"{plural(last['pairs'], 'pair')} of items that meet"
    loss = last["held_out_loss"]
    told = "" if loss is None else f", held-out loss {loss:.4f}"
    return plural(last["epoch"], "epoch") + told


def _frequent(column: ColumnVectors) -> list[Any]:
    order = np.argsort(-column.counts, kind="stable")[:EXAMPLES]
    return column.categories[order].tolist()


def _print_examples(output: Output, column: ColumnVectors) -> None:
    """What is near the most frequent items."""
    lines = grid(f"{shown(column.name, 20)}, most frequent", "most similar")
    for name in _frequent(column):
        near = [key for key, _ in column.most_similar(name, topn=3)]
        lines.add_row(shown(name), listed(near) or "-")
    output.page.print()
    output.table(lines)


def _next(column: ColumnVectors, out: str) -> Sequence[str]:
    path = shlex.quote(out)
    frequent = [shlex.join([column.name, shown(name, 200)]) for name in _frequent(column)[:1]]
    commands = [f"catvec neighbors {path} {example}" for example in frequent]
    text = shlex.quote(f"{Path(out).name.split('.')[0]}.txt")
    return [*commands, f"catvec export {path} --format word2vec --out {text}"]


def _facts(
    pretrainer: EmbeddingPretrainer, benefit: Benefit | None, out: str, took: float
) -> dict[str, Any]:
    vectors = pretrainer.vectors_
    return {
        "model": out,
        "method": pretrainer.method,
        "sequences": pretrainer.n_sequences_,
        "events": pretrainer.n_events_,
        "columns": [
            {"column": n, "categories": len(vectors[n]), "embedding_dim": vectors[n].embedding_dim}
            for n in vectors
        ],
        "history": pretrainer.history_,
        "benefit": None if benefit is None else asdict(benefit),
        "seconds": round(took, 3),
    }
