"""What `CategoryVectors` show of themselves: how much there is, and how far its effects reach."""

from __future__ import annotations

from catvec.vectors._column import ColumnVectors
from catvec.vectors._pairs import PairEffects


def overview(columns: list[ColumnVectors], pairs: list[PairEffects]) -> str:
    """A line for all, one by column, and one for the pairs if there are any."""
    n_columns, n_categories = len(columns), sum(map(len, columns))
    head = (
        f"CategoryVectors: {n_columns} column{'s' * (n_columns != 1)}, {n_categories:,} categories"
    )
    return "\n".join([head, *_by_column(columns), *_pairs_line(pairs)])


def _by_column(columns: list[ColumnVectors]) -> list[str]:
    if not columns:
        return []
    titles = ("column", "categories", "dim", "effects", "rows seen")
    lines = [titles, *map(_overview_line, columns[:20])]
    widths = [max(len(line[i]) for line in lines) for i in range(len(titles))]
    shown = [
        "  " + "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])])
        for line in lines
    ]
    return shown + ([f"  and {len(columns) - 20} more"] if len(columns) > 20 else [])


def _pairs_line(pairs: list[PairEffects]) -> list[str]:
    """One line for all pairs, if there are any."""
    if not pairs:
        return []
    shown = [f"{_shown_name(pair.name)} ({len(pair):,})" for pair in pairs[:5]]
    more = f" and {len(pairs) - 5} more" if len(pairs) > 5 else ""
    return [f"  {len(pairs)} pair{'s' * (len(pairs) != 1)}: {', '.join(shown)}{more}"]


def _overview_line(column: ColumnVectors) -> tuple[str, ...]:
    effects = column.effects
    reach = f"{effects.min():+.3g} .. {effects.max():+.3g}" if effects.size else "-"
    rows = int(column.vocabulary.counts.sum())
    name = _shown_name(column.name)
    return name, f"{len(column):,}", str(column.embedding_dim), reach, f"{rows:,}"


def _shown_name(name: str) -> str:
    """A name in few characters, none of which moves the cursor."""
    name = name if name.isprintable() else repr(name)
    return name if len(name) <= 30 else f"{name[:29]}…"
