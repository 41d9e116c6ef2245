"""Effects and vectors as features for gradient boosting, inside a scikit-learn pipeline.

A table of orders. How long a delivery takes depends on the courier, on the district, and on which
courier drives in which district: each courier knows some kinds of district well. Kinds are in no
column. Encoders are compared in front of the same booster, on orders held back.
"""

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder, TargetEncoder

from catvec import EmbeddingEncoder


def make_orders(n_rows: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(seed)
    courier, district = rng.integers(120, size=n_rows), rng.integers(80, size=n_rows)
    distance = rng.gamma(2.0, 3.0, size=n_rows)
    pace = rng.normal(size=120)[courier] + rng.normal(size=80)[district]
    knows = courier % 4 == district % 4
    minutes = 20 + 2 * distance + 3 * pace - 8 * knows + 3 * rng.normal(size=n_rows)
    columns = {
        "courier": [f"courier {i:03}" for i in courier],
        "district": [f"district {i:02}" for i in district],
        "distance": distance,
    }
    return pd.DataFrame(columns), minutes


def main() -> None:
    X, y = make_orders(4500, seed=0)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=1 / 3, random_state=0)
    text = ["courier", "district"]
    encoders = {
        "categories as numbers": make_column_transformer(
            (OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), text),
            remainder="passthrough",
        ),
        "scikit-learn's TargetEncoder": make_column_transformer(
            (TargetEncoder(), text), remainder="passthrough"
        ),
        "catvec, effects only": EmbeddingEncoder(output="effects", random_state=0),
        "catvec, effects and vectors": EmbeddingEncoder(random_state=0),
    }
    print(f"{len(X_train):,} orders to learn from, R2 on {len(X_test):,} others")
    for name, encoder in encoders.items():
        model = make_pipeline(encoder, HistGradientBoostingRegressor(random_state=0))
        print(f"  {name:30} {model.fit(X_train, y_train).score(X_test, y_test):.3f}")


if __name__ == "__main__":
    main()
