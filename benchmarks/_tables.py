"""Tables of results, on the terminal and as Markdown."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table as RichTable

WIDTH = 220  # of lines that go to a file


@dataclass(frozen=True)
class Table:
    """Rows of text; words under it."""

    title: str
    header: list[str]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)


def show(tables: list[Table]) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    for table in tables:
        shown = RichTable(title=table.title, title_justify="left", title_style="bold")
        for i, name in enumerate(table.header):
            shown.add_column(name, justify="left" if i == 0 else "right", overflow="fold")
        for row in table.rows:
            shown.add_row(*row)
        console.print(shown)
        for note in table.notes:
            console.print(f"  {note}", highlight=False, markup=False)
        console.print()


def write_markdown(tables: list[Table], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(map(markdown, tables)), encoding="utf-8")


def markdown(table: Table) -> str:
    lines = [f"### {table.title}", ""]
    rule = ["---"] + ["---:"] * (len(table.header) - 1)
    lines += ["| " + " | ".join(row) + " |" for row in (table.header, rule, *table.rows)]
    lines += [""] + [f"- {note}" for note in table.notes] + [""] * bool(table.notes)
    return "\n".join(lines)
