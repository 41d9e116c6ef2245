"""The gradient of the whole objective, by finite differences in float64."""

import numpy as np
import pytest

from catvec.network import Inputs, Network, NetworkConfig, TrainingConfig, TrainingData, make_loss
from catvec.network import _kernels as kernels
from catvec.network import _optimizers as optimizers
from catvec.network._step import Step, count_lines

N = 23
LAMBDAS = (0.7, 3.0, 1.5, 0.4)
KEY = 11  # the prior's step is implicit: of a row whose gradient is near 0 it would be no small one
H = 1e-6


class Problem:
    """One batch of all rows: then the objective of an epoch is that of the batch."""

    def __init__(
        self,
        loss="squared",
        hidden=(6, 5),
        dropout=0.2,
        n_rows=N,
        weighted=True,
        drops=(0.0, 0.0),
        interactions="concatenate",
        batch_norm=True,
    ):
        rng = np.random.default_rng(5)
        n_outputs = 3 if loss == "softmax" else 1
        codes = np.stack([rng.integers(0, 4, n_rows), rng.integers(0, 9, n_rows)], 1)
        positions = rng.uniform(0, 3, (n_rows, 2))
        positions[:3, 0] = np.nan
        positions[3:6, 1] = -1
        positions[6:8] = 3.0
        inputs = Inputs(
            codes.astype(np.int32),
            rng.normal(size=(n_rows, 2)),
            positions.astype(np.float64),
        )
        target = rng.integers(0, 2, n_rows) if loss in ("logistic", "softmax", "poisson") else 0
        target = target + (rng.normal(size=n_rows) if loss not in ("softmax", "logistic") else 0)
        weight = rng.uniform(0.2, 3, n_rows) if weighted else None
        self.data = TrainingData(inputs, np.abs(target) if loss == "poisson" else target, weight)
        config = NetworkConfig(
            (4, 9),
            (2, 3),
            2,
            (4, 4),
            (2, 1),
            hidden,
            dropout,
            n_outputs,
            interactions,
            batch_norm=batch_norm,
        )
        self.network = Network.create(config, 3, np.float64)
        self.network.tables.flat[...] = rng.normal(size=self.network.tables.flat.shape)
        for i in range(len(hidden)):  # a unit that sees only zeros is not at its kink
            self.network.weights[f"norm_{i}.shift"][...] = rng.normal(scale=0.1, size=hidden[i])
        self.loss = make_loss(loss, n_outputs)
        self.settings = TrainingConfig(
            loss,
            LAMBDAS,
            batch_size=n_rows,
            weight_decay=0.0,
            embedding_dropout=drops[0],
            category_dropout=drops[1],
        )
        self.counts = count_lines(kernels, self.network, self.data)
        self.mean_weight = 1.0 if weight is None else float(weight.mean())
        self.step = Step(self.network, self.loss, self.settings, kernels)
        self.step.take(self.data, self.counts)
        self.rows = np.arange(n_rows, dtype=np.int32)

    def backward(self):
        return self.step.backward(self.rows, KEY)

    def objective(self):
        """Sum of weighted losses plus the prior, over rows times the mean weight.

        The prior of a row has the part of its lambda that is its part of looks in the batch: all
        of it, unless category dropout hides some of the rows that look at it.
        """
        loss, masses, _ = self.backward()
        loss *= self.mean_weight
        tables, lookup = self.network.tables, self.step.lookup
        met = np.zeros_like(self.counts)
        kernels.count_lines(tables.layout, lookup.at, lookup.shares, masses, met)
        hiding = self.network.config.hiding(self.settings.category_dropout)
        hidden = [*hiding.columns, 0, 0]
        for t, strength in enumerate(LAMBDAS):
            own = slice(tables.centers()[t], tables.centers()[t] + len(tables.table(t)))
            expected = self.counts[own] * (1 - hidden[t])
            part = met[own] * self.mean_weight / np.maximum(expected, 1e-9)
            away = tables.table(t) - tables.table(t)[0]
            loss += strength / 2 * np.sum(part[:, None] * away**2)
        return loss / (len(self.rows) * self.mean_weight)

    def differences(self, flat):
        found = np.empty_like(flat)
        for i in range(len(flat)):
            kept = flat[i]
            flat[i] = kept + H
            above = self.objective()
            flat[i] = kept - H
            found[i] = (above - self.objective()) / (2 * H)
            flat[i] = kept
        return found


LOSSES = ["squared", "logistic", "softmax", "poisson", "absolute", "quantile"]


KINDS = ["product", "factorization_machine"]


@pytest.mark.parametrize(
    ("loss", "interactions"),
    [(loss, "concatenate") for loss in LOSSES]
    + [(loss, kind) for loss in ("squared", "softmax") for kind in KINDS],
)
@pytest.mark.parametrize("batch_norm", [True, False])
def test_gradient_of_the_weights(loss, interactions, batch_norm):
    problem = Problem(loss, interactions=interactions, batch_norm=batch_norm)
    numeric = problem.differences(problem.network.weights.flat)
    problem.backward()
    np.testing.assert_allclose(problem.step.gradients.flat, numeric, atol=1e-6)
    assert np.abs(numeric).max() > 1e-3


DROPS = [(0.0, 0.0), (0.4, 0.0), (0.0, 0.4), (0.3, 0.2)]
"""Dropout of elements and of categories; the key fixes the masks."""


@pytest.mark.parametrize("drops", DROPS[1:])
def test_gradient_of_the_weights_under_dropout_of_vectors(drops):
    problem = Problem(drops=drops)
    numeric = problem.differences(problem.network.weights.flat)
    problem.backward()
    np.testing.assert_allclose(problem.step.gradients.flat, numeric, atol=1e-6)


@pytest.mark.parametrize("drops", DROPS)
@pytest.mark.parametrize("hidden", [(6, 5), ()])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("interactions", ["concatenate", *KINDS])
def test_gradient_of_the_tables_knots_and_prior(hidden, weighted, drops, interactions, monkeypatch):
    """A tiny step of Adagrad from zero: its size and its accumulator give the gradient away."""
    problem = Problem(hidden=hidden, weighted=weighted, drops=drops, interactions=interactions)
    tables = problem.network.tables
    numeric = problem.differences(tables.flat)
    monkeypatch.setattr(optimizers, "TABLE_RATE", 1.0)
    before, rate = tables.flat.copy(), 1e-9
    _, masses, gradient = problem.backward()
    problem.step.row_adagrad.step(kernels, problem.step.lookup, masses, gradient, rate)
    found = np.zeros_like(before)
    for start, line, dim, _, n_rows in tables.layout.tolist():
        own = slice(start, start + n_rows * dim)
        roots = np.repeat(np.sqrt(problem.step.row_adagrad.squares[line : line + n_rows]), dim)
        found[own] = (before - tables.flat)[own] / rate * roots
    np.testing.assert_allclose(found, numeric, atol=5e-6)
    assert np.abs(numeric).max() > 1e-2


def test_a_single_row_is_normalised_by_constants():
    problem = Problem(n_rows=1, weighted=False)
    running = problem.network.running.flat
    running[...] = np.random.default_rng(0).uniform(0.5, 2, running.shape)
    before = running.copy()
    numeric = problem.differences(problem.network.weights.flat)
    problem.backward()
    np.testing.assert_allclose(problem.step.gradients.flat, numeric, atol=1e-6)
    np.testing.assert_array_equal(running, before)


def test_a_row_twice_is_a_row_of_weight_two():
    """In one batch, exactly: the sums are the same, only the division by rows differs."""
    twice = Problem(weighted=False, hidden=())
    rows = np.concatenate([twice.rows, twice.rows[:5]])
    weights = np.ones(N)
    weights[:5] = 2
    data = TrainingData(twice.data.inputs, twice.data.target, weights)
    counts = count_lines(kernels, twice.network, data)
    settings = TrainingConfig("squared", LAMBDAS, batch_size=len(rows))
    repeated = TrainingData(twice.data.inputs, twice.data.target, rows=rows)
    np.testing.assert_allclose(counts, count_lines(kernels, twice.network, repeated))
    by_weight, by_rows = (Step(twice.network, twice.loss, settings, kernels) for _ in range(2))
    by_weight.take(data, counts)
    by_rows.take(repeated, counts)
    loss, masses, _ = by_weight.backward(twice.rows, KEY)
    assert loss * weights.mean() == pytest.approx(by_rows.backward(rows, KEY)[0])
    assert masses.sum() == pytest.approx(N)
    np.testing.assert_allclose(by_weight.gradients.flat, by_rows.gradients.flat, atol=1e-12)


def test_a_constant_weight_changes_only_the_prior():
    plain, heavy = Problem(weighted=False), Problem(weighted=False)
    data = TrainingData(heavy.data.inputs, heavy.data.target, np.full(N, 4.0))
    counts = count_lines(kernels, heavy.network, data)
    np.testing.assert_allclose(counts, 4 * plain.counts)
    step = Step(heavy.network, heavy.loss, heavy.settings, kernels)
    step.take(data, counts)
    found, expected = step.backward(heavy.rows, KEY), plain.backward()
    assert found[0] == pytest.approx(expected[0])
    np.testing.assert_allclose(found[2], expected[2])
    np.testing.assert_allclose(step.row_adagrad.pulls, plain.step.row_adagrad.pulls / 4)


def test_lookup_equals_one_hot_times_matrix():
    problem = Problem(dropout=0.0)
    tables, inputs = problem.network.tables, problem.data.inputs
    problem.backward()
    x, gradient = problem.step.lookup.out, problem.backward()[2]
    for c, (_, _, dim, column, n_rows) in enumerate(tables.layout[:2].tolist()):
        one_hot = np.eye(n_rows)[inputs.codes[:, c]]
        np.testing.assert_array_equal(x[:, column : column + dim], one_hot @ tables.weight(c))
        expected = one_hot.T @ gradient[:, column : column + dim]
        codes, sums, _ = kernels._summed(
            inputs.codes[:, c], gradient[:, column : column + dim], np.ones(N), np.ones(N)
        )
        np.testing.assert_allclose(sums, expected[codes], atol=1e-12)
        assert not np.delete(expected, codes, axis=0).any()  # and the others are exactly zero
