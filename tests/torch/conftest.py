"""A small fitted model, and tables for it."""

import numpy as np
import pandas as pd
import pytest

from catvec import EmbeddingRegressor


def make_table(n=400, seed=0):
    rng = np.random.default_rng(seed)
    shop = rng.integers(0, 20, n)
    frame = pd.DataFrame(
        {
            "shop": [f"shop {i}" for i in shop],
            "day": rng.choice(["mo", "tu", "we", None], n),
            "price": rng.normal(size=n) * 1e4 + 5e4,
            "gaps": np.where(rng.random(n) < 0.2, np.nan, rng.integers(0, 4, n)),
        }
    )
    y = np.sin(shop) * 3 + frame["price"].to_numpy() / 1e4 + 0.1 * rng.normal(size=n)
    return frame, 1000 * y


@pytest.fixture(scope="session")
def table():
    return make_table()


@pytest.fixture(scope="session")
def fitted(table):
    model = EmbeddingRegressor(
        random_state=0, n_epochs=3, pairs=[("shop", "day")], shrinkage=1.0, n_networks=2
    )
    return model.fit(*table)
