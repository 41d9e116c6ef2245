"""Where a command writes: a page for people, one JSON object for machines, notes on the error side.

Text is printed as it is: rich's markup is off, so that a column called "[red]" keeps its name.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from rich.box import Box
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

WIDTH = 80  # where the terminal does not say
LISTED = 8  # names in a sentence
EIGHTHS = " ▏▎▍▌▋▊▉█"
RULED = Box("    \n    \n ── \n    \n    \n    \n    \n    \n")


def console(stream: Any) -> Console:
    """A console that prints text as it is, without colours unless `stream` is a terminal."""
    made = Console(file=stream, markup=False, highlight=False, emoji=False)
    if not made.is_terminal and made.width > WIDTH:
        made.width = WIDTH
    return made


@dataclass
class Output:
    """The sides of one command.

    Parameters
    ----------
    quiet : bool
        No page.
    as_json : bool
        The result goes to standard output as JSON, the page to standard error.
    rows_out : bool
        Rows go to standard output (``--out -``), so the page goes to standard error.
    """

    quiet: bool = False
    as_json: bool = False
    rows_out: bool = False
    page: Console = field(init=False)
    notes: Console = field(init=False)

    def __post_init__(self) -> None:
        self.notes = console(sys.stderr)
        aside = self.as_json or self.rows_out
        self.page = self.notes if aside else console(sys.stdout)
        self.page.quiet = self.quiet

    def line(self, text: str = "", style: str = "") -> None:
        """A line of the page that is never broken, so that it can be copied."""
        self.page.print(Text(text, style=style), soft_wrap=True)

    def text(self, text: str, style: str = "", indent: int = 0) -> None:
        """A paragraph of the page."""
        self._print(Padding(Text(text, style=style), (0, 0, 0, indent)))

    def warning(self, text: str) -> None:
        """A paragraph of the page that is told aside where there is no page."""
        if self.quiet:
            warn(text)
        else:
            self.text(text, style="yellow", indent=2)

    def heading(self, text: str, aside: str = "") -> None:
        """A line that opens a part of the page; `aside` follows, on the same line if it fits."""
        self.page.print()
        if len(text) + len(aside) + 2 > self.page.width:
            self.line(text, "bold")
            self.text(aside, "dim", indent=2)
        else:
            self._print(Text.assemble((text, "bold"), (f"  {aside}" if aside else "", "dim")))

    def table(self, table: Table) -> None:
        """A table of the page, indented."""
        self._print(Padding(table, (0, 0, 0, 2), expand=False))

    def commands(self, commands: Sequence[str]) -> None:
        """Commands to copy, a line each."""
        for command in commands:
            self.line(f"  {command}", style="cyan")

    def _print(self, renderable: RenderableType) -> None:
        """Print without the spaces that fill a line up, which nobody wants in a file."""
        with self.page.capture() as capture:
            self.page.print(renderable)
        lines = capture.get().splitlines()
        self.page.file.write("".join(line.rstrip() + "\n" for line in lines))

    def result(self, result: Mapping[str, Any]) -> None:
        """The result for machines; nothing unless it was asked for."""
        if self.as_json:
            sys.stdout.write(json.dumps(plain(result), ensure_ascii=False, allow_nan=False) + "\n")


def warn(message: object) -> None:
    """A warning as one line on standard error, whatever the message holds."""
    sys.stderr.write("catvec: warning: " + " ".join(str(message).split()) + "\n")


def grid(*columns: str | tuple[str, str]) -> Table:
    """A table with titles and no frame; a column is a title, or a title and "right"."""
    table = Table(box=RULED, header_style="dim", pad_edge=False, padding=(0, 1), show_edge=False)
    for column in columns:
        title, side = (column, "left") if isinstance(column, str) else column
        table.add_column(title, justify="right" if side == "right" else "left", overflow="fold")
    return table


def bar(share: float, width: int = 10) -> str:
    """A bar of block characters; `share` of `width`, at least a sliver for what is not 0."""
    eighths = min(round(share * width * 8), width * 8)
    eighths = max(eighths, 1) if share > 0 else 0
    full, rest = divmod(eighths, 8)
    return "█" * full + (EIGHTHS[rest] if rest else "")


def shown(value: object, longest: int = 30) -> str:
    """A name or a category as a person reads it, on one line and not too long."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, date):
        value = str(value).removesuffix(" 00:00:00")
    text = str(value)
    text = text if text.isprintable() and text.strip() == text and text else repr(value)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def number(value: float) -> str:
    """A measure with about four digits: 12,346 and 0.1235; whole numbers as they are."""
    if not math.isfinite(value):
        return str(value)
    size = abs(value)
    if 0 < size < 1e-4:
        return f"{value:.1e}"
    digits = 0 if size >= 1000 or value == int(value) else 2 if size >= 10 else 4
    return f"{value:,.{digits}f}"


def signed(value: float) -> str:
    """A shift, with its sign."""
    return ("+" if value > 0 else "") + number(value)


def seconds(value: float) -> str:
    """A duration: "8.2 s", "3 min 5 s"."""
    if value < 100:
        return f"{value:.1f} s"
    return f"{int(value // 60)} min {int(value % 60)} s"


def plural(n: int, noun: str, many: str | None = None) -> str:
    """A count with its noun: "1 row", "1,204 rows"."""
    return f"{n:,} {noun if n == 1 else many or noun + 's'}"


def listed(names: Sequence[object]) -> str:
    """Names with commas, and how many more there are."""
    text = ", ".join(shown(name) for name in names[:LISTED])
    return text + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")


def plain(value: Any) -> Any:
    """A value as JSON holds it; numbers that JSON lacks become null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)
