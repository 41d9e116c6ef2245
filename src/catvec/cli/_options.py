"""Arguments and options of the commands, with what ``--help`` says of them."""

from __future__ import annotations

from typing import Annotated, Any

import typer


def _option(help: str, *names: str, metavar: str | None = None, **more: Any) -> Any:
    return typer.Option(*names, metavar=metavar, help=help, show_default=False, **more)


def width(text: str) -> int | str:
    """What --embedding-dim says: a number, or a name, at which the estimators look."""
    return int(text) if text.isdecimal() else text


def _columns(help: str) -> Any:
    return _option(help, metavar="COLUMN")


# Several commands
Table = Annotated[
    str,
    typer.Argument(
        metavar="TABLE",
        help="A table: .csv, .tsv, .parquet, .arrow or .feather; - for CSV on standard input."
        " Or several: a folder or a quoted pattern of Parquet files.",
        show_default=False,
    ),
]
Artifact = Annotated[
    str, typer.Argument(metavar="MODEL", help="What `catvec fit` saved.", show_default=False)
]
Model = Annotated[str, _option("What `catvec fit` saved.", "--model", "-m", metavar="PATH")]
RowsOut = Annotated[
    str,
    _option(
        "Where to write the rows; the ending tells the format. - for CSV on standard output.",
        "--out",
        "-o",
        metavar="PATH",
    ),
]
Keep = Annotated[list[str] | None, _columns("A column to copy from the input. Repeatable.")]
Quiet = Annotated[bool, _option("Print nothing but warnings and errors.", "--quiet", "-q")]
Json = Annotated[bool, _option("Print one JSON object, and the page to standard error.", "--json")]

# drift
DriftTarget = Annotated[
    str | None,
    _option(
        "The target's column in the table, to tell which effects have moved.",
        "--target",
        "-t",
        metavar="COLUMN",
    ),
]
Alpha = Annotated[
    float,
    _option(
        "How often rows without drift may be said to have drifted (default 0.01).",
        metavar="SHARE",
    ),
]

# fit
Target = Annotated[str, _option("What to predict.", "--target", "-t", metavar="COLUMN")]
Categorical = Annotated[
    list[str] | None, _columns("A categorical column, beside text and booleans. Repeatable.")
]
Numeric = Annotated[
    list[str] | None, _columns("A column to take as a number, not as categories. Repeatable.")
]
Drop = Annotated[list[str] | None, _columns("A column not to look at. Repeatable.")]
ModelOut = Annotated[
    str | None,
    _option(
        "Where to save the model, a folder; by default the table's name and .catvec.",
        "--out",
        "-o",
        metavar="PATH",
    ),
]
EncodedOut = Annotated[
    str | None,
    _option(
        "Also write the rows encoded, each by a fit that never saw its target, to train another"
        " model on.",
        metavar="PATH",
    ),
]
KeepEncoded = Annotated[
    list[str] | None, _columns("A column to copy into --encoded-out. Repeatable.")
]
Task = Annotated[
    str,
    _option(
        "regression, binary, multiclass, count or auto: floats, and integers with more than 20"
        " values, are a regression, others classes.",
        metavar="TASK",
    ),
]
Loss = Annotated[
    str,
    _option(
        "squared, absolute, quantile or poisson for numbers, logistic or softmax for classes; auto"
        " suits the task.",
        metavar="LOSS",
    ),
]
Quantile = Annotated[
    float | None,
    _option("Predict this quantile of the target, between 0 and 1.", metavar="LEVEL"),
]
Validation = Annotated[
    str,
    _option(
        "Rows to score on and to choose by: a share that each network draws (default 0.1), or a"
        " column that marks them: true, 1, valid or test; the others false, 0 or train.",
        metavar="SHARE|COLUMN",
    ),
]
Groups = Annotated[str | None, _columns("Rows of one value stay together in every split.")]
SampleWeight = Annotated[
    str | None, _columns("How much each row counts, such as the exposure of a rate.")
]
TimeColumn = Annotated[
    str | None, _columns("Orders the rows in time; held-out rows or groups are the latest.")
]
SkipGaps = Annotated[bool, _option("Leave out rows whose target is missing.", "--skip-gaps")]
MinFrequency = Annotated[
    int,
    _option("Categories of fewer rows are pooled with unknown ones.", metavar="ROWS", min=1),
]
EmbeddingDim = Annotated[
    str, _option("Width of the vectors: a number, or the name of a rule.", metavar="DIM")
]
OneWidth = Annotated[
    str,
    _option(
        "Width of the vectors (default auto: 100, or the number of items if that is less).",
        "--embedding-dim",
        metavar="DIM",
    ),
]
Tables = Annotated[
    list[str] | None,
    _option(
        "What the table of a column is to be: user=hashed:262144, item=compositional:product,"
        " away=shared:home, tags=list:weights. Repeatable.",
        "--table",
        metavar="COLUMN=KIND",
    ),
]
MemoryBudget = Annotated[
    str | None,
    _option(
        "What networks, vectors, effects and names may take together: 64MB, 2GiB or bytes.",
        metavar="SIZE",
    ),
]
Init = Annotated[
    str | None,
    _option(
        "Vectors to begin with and to be drawn to: what `catvec pretrain` or `catvec fit` saved."
        " What they gain on held-out rows is told.",
        metavar="PATH",
    ),
]
Map = Annotated[
    list[str] | None,
    _option(
        "A column and the one of --init that is for it, product=item; product= for none. Others go"
        " by name. Repeatable.",
        "--map",
        metavar="COLUMN=COLUMN",
    ),
]
Freeze = Annotated[
    str,
    _option("When vectors of --init are held: never, first (epochs) or always.", metavar="WHEN"),
]
Networks = Annotated[
    int | None, _option("Networks that predict together (default: chosen).", metavar="N", min=1)
]
EffectNetworks = Annotated[
    bool,
    typer.Option(
        "--effect-networks/--no-effect-networks",
        help="Whether some networks may see effects in place of vectors, if held-out rows say so.",
        show_default=False,
    ),
]
Epochs = Annotated[
    int | None, _option("Passes of a network over the rows (default: chosen).", metavar="N", min=1)
]
MostEpochs = Annotated[
    int | None,
    _option("Passes of skipgram over the sequences, at most (default 8).", metavar="N", min=1),
]
Seed = Annotated[
    int,
    _option("The same seed gives the same model (default 0).", metavar="N", min=0, max=2**32 - 1),
]
Engine = Annotated[
    str, _option("numpy, numba, torch, or auto: what is faster here.", metavar="ENGINE")
]
Device = Annotated[
    str,
    _option(
        "Where --engine torch trains: cpu, cuda, ... or auto: CUDA where there is one.",
        metavar="DEVICE",
    ),
]
Jobs = Annotated[int, _option("Threads; by default one for each core.", metavar="N")]

# neighbors, export, demo
Column = Annotated[
    str, typer.Argument(metavar="COLUMN", help="A categorical column.", show_default=False)
]
Category = Annotated[
    str, typer.Argument(metavar="CATEGORY", help="One of its categories.", show_default=False)
]
TopN = Annotated[int, _option("How many (default 10).", "--topn", "-n", metavar="N", min=1)]
Format = Annotated[str, _option("What to write: word2vec, projector or parquet.", metavar="FORMAT")]
FilesOut = Annotated[
    str,
    _option(
        "A file; a folder for the projector, and for word2vec of several columns.",
        "--out",
        "-o",
        metavar="PATH",
    ),
]
OneColumn = Annotated[
    str | None, _option("Only this column (or pair, as parquet).", metavar="COLUMN")
]
DemoOut = Annotated[
    str, _option("Where to save the model (default flights.catvec).", "--out", "-o", metavar="PATH")
]
DemoRows = Annotated[
    int | None, _option("Only so many of the flights, to try it out.", metavar="N", min=2000)
]

# dims
DimsTarget = Annotated[
    str | None,
    _option(
        "What to predict; without it only what the rules say is told.",
        "--target",
        "-t",
        metavar="COLUMN",
    ),
]
Budget = Annotated[
    int,
    _option(
        "Row-epochs, rows times passes over them, that training may take (default 20000000).",
        metavar="N",
        min=1,
    ),
]

# pretrain
VectorsOut = Annotated[
    str, _option("Where to save the vectors, a folder.", "--out", "-o", metavar="PATH")
]
Sequence = Annotated[
    str | None,
    _columns("Tells which rows belong together: a basket, a session, a user."),
]
Item = Annotated[
    list[str] | None,
    _columns("The column of the items. Repeatable: columns that share sequences (product, brand)."),
]
Order = Annotated[
    str | None, _columns("Orders the rows of a sequence; without it a sequence is a basket.")
]
Method = Annotated[
    str,
    _option("cooccurrence (default), skipgram, or table: the columns of a row.", metavar="METHOD"),
]
Window = Annotated[
    int | None,
    _option(
        "How far apart events of an ordered sequence meet (default 10); with it lists are taken in"
        " their order.",
        metavar="N",
        min=1,
    ),
]
Benefit = Annotated[
    bool,
    typer.Option(
        "--benefit/--no-benefit",
        help="Tell whether the sequences hold any structure, on some held out.",
        show_default=False,
    ),
]
