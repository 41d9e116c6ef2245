"""Looks at what was learned: neighbours, an unknown shop, and the artifact as any tool sees it."""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from catvec import CategoryVectors, EmbeddingRegressor

BUSY = {"beach": ["Sat", "Sun"], "office": ["Mon", "Tue", "Wed"], "station": ["Thu", "Fri"]}
DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]


def make_sales(n_rows: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Shops of three kinds, busy on different days; the kind is in the name, for us to read."""
    rng = np.random.default_rng(seed)
    shops = [f"{kind} {i}" for kind in BUSY for i in range(25)]
    X = pd.DataFrame({"shop": rng.choice(shops, n_rows), "day": rng.choice(DAYS, n_rows)})
    X.loc[rng.random(n_rows) < 0.05, "shop"] = None  # some receipts lack the shop
    kinds = X["shop"].str.split().str[0].fillna("beach")
    is_busy = [day in BUSY[kind] for kind, day in zip(kinds, X["day"], strict=True)]
    return X, 5.0 * np.array(is_busy) + rng.normal(size=n_rows)


def main() -> None:
    X, y = make_sales(3000, seed=0)
    model = EmbeddingRegressor(n_networks=2, random_state=0).fit(X, y)
    print(model.vectors_)

    shop = model.vectors_["shop"]
    print("\nMost similar to beach 7:")
    for name, cosine in shop.most_similar("beach 7", topn=5):
        print(f"  {name:12} {cosine:5.2f}  effect {shop.effect(name):+.2f}")

    print("\nA shop that was never seen, a receipt without one, and one that is known, on Sunday:")
    rows = pd.DataFrame({"shop": ["beach 999", None, "beach 7"], "day": "Sun"})
    encoded = model.vectors_.encode(rows, output="effects")
    for i, answer in enumerate(model.predict(rows)):
        effect, confidence = encoded[i, :2]
        print(
            f"  {rows['shop'].iloc[i]!s:12} predicted {answer:4.1f},"
            f" effect {effect:+.2f}, confidence {confidence:.2f}"
        )

    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "sales.catvec")
        print("\nThe artifact is a folder:")
        for file in sorted(Path(folder, "sales.catvec").iterdir()):
            print(f"  {file.name:34} {file.stat().st_size:9,} bytes")
        vectors = CategoryVectors.load(Path(folder) / "sales.catvec")
    print("\nIts column `shop`, without the model:")
    print(vectors["shop"].to_frame(kind="pandas").iloc[:5, :5].round(2).to_string(index=False))


if __name__ == "__main__":
    main()
