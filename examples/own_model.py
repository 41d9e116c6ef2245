"""A model of one's own in PyTorch: two towers that begin with catvec's vectors, and give them back.

Visitors click on much and buy little. catvec learns visitors and items from the clicks; a two-tower
model, trained by a loop of our own on the few purchases, begins with these vectors, and is compared
with one that begins with random ones. What it has learned becomes an artifact again.
"""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from catvec import CategoryVectors, EmbeddingClassifier
from catvec.torch import CategoryEmbedding, RowwiseAdagrad, parameter_groups, to_vectors

N_VISITORS, N_ITEMS, N_KINDS = 600, 300, 6


def make_log(n_rows: int, seed: int, eagerness: float) -> tuple[pd.DataFrame, np.ndarray]:
    """Who saw what, and whether they took it: visitors like two kinds of items each."""
    rng = np.random.default_rng(seed)
    visitor, item = rng.integers(0, N_VISITORS, n_rows), rng.integers(0, N_ITEMS, n_rows)
    likes = np.random.default_rng(1).random((N_VISITORS, N_KINDS)).argsort(axis=1) < 2
    score = eagerness + 2.5 * likes[visitor, item % N_KINDS]
    taken = rng.random(n_rows) < 1 / (1 + np.exp(-score))
    names = [f"visitor {v}" for v in visitor], [f"kind {i % N_KINDS} item {i}" for i in item]
    return pd.DataFrame({"visitor": names[0], "item": names[1]}), taken


class TwoTowers(nn.Module):
    """A vector of the visitor times one of the item."""

    def __init__(self, visitor: CategoryEmbedding, item: CategoryEmbedding) -> None:
        super().__init__()
        self.visitor, self.item = visitor, item
        self.towers = nn.ModuleList(nn.Linear(side.embedding_dim, 16) for side in (visitor, item))
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, codes: Tensor) -> Tensor:
        """Log-odds (B,) of codes (B, 2)."""
        visitor = self.towers[0](self.visitor(codes[:, 0]))
        item = self.towers[1](self.item(codes[:, 1]))
        return (visitor * item).sum(1) + self.bias


def trained(model: TwoTowers, codes: Tensor, bought: Tensor, n_epochs: int = 5) -> TwoTowers:
    """A loop of our own: tables by row-wise Adagrad at a low rate, the rest by AdamW."""
    tables, weights = parameter_groups(model, embedding_lr=0.01)
    optimizers = [RowwiseAdagrad([tables]), torch.optim.AdamW([weights], lr=5e-3)]
    for _ in range(n_epochs):
        for rows in torch.randperm(len(codes)).split(128):
            loss = nn.functional.binary_cross_entropy_with_logits(model(codes[rows]), bought[rows])
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
    return model


def main() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)  # batches this small gain nothing by more
    clicks = EmbeddingClassifier(
        embedding_dim=8,
        shrinkage=10.0,
        pairs=None,
        interactions="product",
        n_networks=1,
        n_epochs=6,
        random_state=0,
    ).fit(*make_log(60_000, seed=2, eagerness=-2.0))
    vectors = clicks.vectors_

    X, bought = make_log(20_000, seed=3, eagerness=-4.0)
    X_new, bought_new = make_log(20_000, seed=4, eagerness=-4.0)
    codes, target = torch.from_numpy(vectors.codes(X)), torch.from_numpy(bought).float()
    codes_new = torch.from_numpy(vectors.codes(X_new))

    beginnings = {
        "random vectors": [
            CategoryEmbedding(len(c) + 2, c.embedding_dim, sparse=True)
            for c in (vectors["visitor"], vectors["item"])
        ],
        "catvec's vectors": [
            CategoryEmbedding.from_vectors(vectors[name], freeze=False, sparse=True)
            for name in ("visitor", "item")
        ],
    }
    print(f"{bought.sum()} purchases in {len(X):,} views; AUC on {len(X_new):,} others:")
    for name, layers in beginnings.items():
        model = trained(TwoTowers(*layers), codes, target)
        with torch.no_grad():
            scores = model(codes_new).numpy()
        print(f"  two towers from {name:17} {roc_auc_score(bought_new, scores):.3f}")

    learned = [to_vectors(model.visitor)["visitor"], to_vectors(model.item)["item"]]
    with tempfile.TemporaryDirectory() as folder:
        CategoryVectors(learned).save(Path(folder) / "towers.catvec")
        item = CategoryVectors.load(Path(folder) / "towers.catvec")["item"]
    print("\nMost similar to kind 3 item 45, from the artifact:")
    for name, cosine in item.most_similar("kind 3 item 45", topn=4):
        print(f"  {name:16} {cosine:.2f}")


if __name__ == "__main__":
    main()
