"""How well do the defaults do on targets that nothing was chosen by?

catvec's defaults were chosen on validation rows of the suite's tasks. These are other columns of
the same tables as targets, classes among them, of at most 40,000 rows drawn at random: three
quarters to learn from, a quarter to be scored. Models are as in `accuracy.py`, CatBoost where there
are two classes at most: with fourteen it takes an hour. Numbers are R2 or minus the log loss, so
that more is better. Choose nothing by these.

    python benchmarks/other_targets.py --data ../shared/data --markdown other_targets.md
    python benchmarks/other_targets.py --data ../shared/data --task hotel_rate --models catvec
    python benchmarks/other_targets.py --data ../shared/data --quick           # does it run?
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from _models import MODELS, Case, run_model, warm_up
from _tables import Table, show, write_markdown
from sklearn.metrics import log_loss, r2_score

MOST_ROWS, QUICK_ROWS = 40_000, 1_000
COMPARED = ["catvec", "catvec_lightgbm", "lightgbm_te", "lightgbm_native", "catboost"]


@dataclass(frozen=True)
class Target:
    """A table's column to predict.

    Attributes
    ----------
    table : str
        File of the table, without its ending.
    column : str
    drop : tuple of str
        Columns that are not given to a model.
    numbers : tuple of str
        Integer columns that are categorical; text and booleans always are.
    rows : callable, optional
        What to make of the table first.
    """

    table: str
    column: str
    drop: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    rows: Callable[[pd.DataFrame], pd.DataFrame] | None = None


def of_known_customers(table: pd.DataFrame) -> pd.DataFrame:
    """Sales in the logarithm of their quantity, with month and hour."""
    table = table[table["CustomerID"].notna() & (table["Quantity"] > 0)]
    when = table["InvoiceDate"].dt
    return table.assign(
        CustomerID=table["CustomerID"].astype(int),
        Quantity=np.log(table["Quantity"]),
        hour=when.hour,
        month=when.month,
    )


def with_week(table: pd.DataFrame) -> pd.DataFrame:
    """Signed logarithms of sales, and the week of the year."""
    sales = table["Weekly_Sales"]
    week = pd.to_datetime(table["Date"]).dt.isocalendar().week.astype(int)
    return table.assign(week=week, Weekly_Sales=np.sign(sales) * np.log1p(sales.abs()))


def of_more_than(n_rows: int, column: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Rows of the column's classes that have more rows than that."""
    return lambda table: table[table.groupby(column)[column].transform("size") > n_rows]


ADULT = ("split", "fnlwgt")
HOTEL = ("reservation_status", "reservation_status_date", "is_canceled")
FLIGHT = ("year", "dep_time", "dep_delay", "arr_time", "arr_delay", "hour", "minute", "distance")
INSURED = ("claim_nb", "claim_amount", "id_client")
KICK = ("RefId", "cb_split", "IsBadBuy")
TARGETS = {
    "hours_worked": Target("adult", "hours_per_week", ADULT),
    # LightGBM diverges on a class of ten rows.
    "occupation": Target("adult", "occupation", ADULT, rows=of_more_than(100, "occupation")),
    "hotel_rate": Target("hotel_bookings", "adr", HOTEL, ("agent", "company", "arrival_date_year")),
    "air_time": Target("nycflights13", "air_time", FLIGHT, ("flight",)),
    "gender_of_employee": Target("employee_salaries", "gender", ("department_name",)),
    "department": Target(
        "employee_salaries", "department", ("department_name", "division"),
        rows=of_more_than(20, "department"),
    ),
    "fuel": Target("uk_used_cars", "fuelType", rows=of_more_than(20, "fuelType")),
    "mileage": Target("uk_used_cars", "mileage"),
    "value_of_vehicle": Target("cas_pg17", "vh_value", INSURED),
    "age_of_viewer": Target(
        "movielens_100k", "age", ("user_id", "timestamp", "title", "release_date"), ("item_id",)
    ),
    "quantity": Target(
        "online_retail", "Quantity", ("InvoiceNo", "InvoiceDate", "Description"), ("CustomerID",),
        of_known_customers,
    ),
    "sales_at_random": Target(
        "walmart", "Weekly_Sales", ("Date",), ("Store", "Dept", "week"), with_week
    ),
    "cost_of_car": Target("kick", "VehBCost", KICK, ("BYRNO", "VNZIP1")),
    "size_of_car": Target("kick", "Size", (*KICK, "Model", "SubModel"), ("BYRNO", "VNZIP1")),
}  # fmt: skip


def case_of(target: Target, folder: Path, options: argparse.Namespace) -> tuple[Case, np.ndarray]:
    """What models get, and the target of the rows to be scored."""
    table = pd.read_parquet(folder / f"{target.table}.parquet").dropna(subset=[target.column])
    table = table if target.rows is None else target.rows(table)
    table = table.sample(min(options.rows, len(table)), random_state=0).reset_index(drop=True)
    X, y = table.drop(columns=[target.column, *target.drop]), table[target.column]
    kind, values = "regression", y.to_numpy()
    if not pd.api.types.is_numeric_dtype(y):
        values = np.unique(values.astype(str), return_inverse=True)[1]
        kind = "binary" if values.max() == 1 else "multiclass"
    new, train = np.split(np.random.default_rng(1).permutation(len(X)), [len(X) // 4])
    stop, fit = np.split(np.arange(len(train)), [len(train) // 10])
    categorical = [
        c for c in X if c in target.numbers or not pd.api.types.is_numeric_dtype(X[c])
        or X[c].dtype == bool
    ]  # fmt: skip
    rows = [X.iloc[chosen].reset_index(drop=True) for chosen in (train, new)]
    case = Case(
        kind=kind,
        categorical=categorical,
        X=rows[0],
        y=values[train],
        fit=fit,
        stop=stop,
        X_new=rows[1],
        given=False,
        ordered=False,
        absolute=False,
        threads=options.threads,
        seed=options.seed,
    )
    return case, values[new]


def score(case: Case, y: np.ndarray, prediction: np.ndarray) -> float:
    """R2, or minus the log loss."""
    if case.kind == "regression":
        return float(r2_score(y, prediction))
    return -float(log_loss(y, prediction, labels=np.unique(case.y)))


def row_of(name: str, options: argparse.Namespace) -> list[str]:
    case, y = case_of(TARGETS[name], options.data, options)
    metric = "R2" if case.kind == "regression" else "-log loss"
    widest = max(case.X[c].nunique() for c in case.categorical)
    row = [f"{name} ({metric})", f"{len(case.X):,}", f"{widest:,}"]
    for model in ["mean", *options.models]:
        if model.startswith("catboost") and case.kind == "multiclass":
            row.append("-")
            continue
        fitted = run_model(model, case)
        row.append(f"{score(case, y, fitted.prediction):.4f}")
        print(f"{name} {model}: {row[-1]} in {fitted.seconds:.1f} s", flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--task", choices=TARGETS, action="append", help="default: all")
    parser.add_argument("--models", default=",".join(COMPARED), help=f"of {', '.join(MODELS)}")
    parser.add_argument("--rows", type=int, default=MOST_ROWS, help="of each table, at most")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--markdown", type=Path, metavar="PATH", help="write the table here")
    parser.add_argument("--quick", action="store_true", help="a few rows, to see whether it runs")
    options = parser.parse_args()
    if options.quick:
        options.rows, options.task = QUICK_ROWS, options.task or ["hours_worked"]
    options.models = options.models.split(",")
    warm_up(options.models)
    rows = [row_of(name, options) for name in options.task or TARGETS]
    note = f"one seed ({options.seed}), {options.threads} thread; more is better"
    header = ["target", "rows", "widest column", "mean", *options.models]
    tables = [Table("Targets that nothing was chosen by", header, rows, [note])]
    show(tables)
    if options.markdown:
        write_markdown(tables, options.markdown)


if __name__ == "__main__":
    main()
