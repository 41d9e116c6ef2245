"""Slow, plain twins: what the fast code must agree with, written as the formula reads."""

import datetime
import math
from collections import Counter
from collections.abc import Sequence
from itertools import combinations, product
from typing import Any

import numpy as np

# --- frames: keys, codes, numbers -------------------------------------------------------

FAMILY_ORDER = ["boolean", "number", "date", "text"]


def key_of(cell: Any) -> tuple[int, Any] | None:
    """The typed key of a cell, comparable in canonical order; None where missing."""
    if cell is None or cell != cell:
        return None
    if isinstance(cell, bool | np.bool_):
        return 0, bool(cell)
    if isinstance(cell, datetime.date):
        midnight = cell if isinstance(cell, datetime.datetime) else None
        return 2, midnight or datetime.datetime(cell.year, cell.month, cell.day)
    if isinstance(cell, str):
        return 3, cell
    return 1, cell  # Python holds 1 and 1.0 for equal, and compares large integers exactly


def encode_cells(
    train: Sequence[Any], cells: Sequence[Any], min_frequency: int = 1
) -> tuple[list[tuple[int, Any]], list[int]]:
    """The categories of the training cells, in the order of their codes, and codes of cells."""
    counts = Counter(key_of(cell) for cell in train)
    kept = sorted(k for k, n in counts.items() if k is not None and n >= min_frequency)
    code = {key: i + 2 for i, key in enumerate(kept)}
    return kept, [1 if key_of(cell) is None else code.get(key_of(cell), 0) for cell in cells]


def place_on_knots(value: float, knots: Sequence[float], has_missing: bool) -> float:
    """Where a number lies between its knots; -1 for a gap that training did not have."""
    if math.isnan(value):
        return math.nan if has_missing else -1.0
    if value <= knots[0]:
        return 0.0
    for i in range(len(knots) - 1):
        if value < knots[i + 1]:
            return i + (value - knots[i]) / (knots[i + 1] - knots[i])
    return float(len(knots) - 1)


# --- effects ----------------------------------------------------------------------------


def link(mean: float, task: str) -> float:
    if task == "regression":
        return mean
    if task == "binary":
        mean = min(max(mean, 1e-9), 1 - 1e-9)
        return math.log(mean / (1 - mean))
    return math.log(max(mean, 1e-9))


def effects_of_column(
    codes: Sequence[int], n_codes: int, y: Sequence[float], weight: Sequence[float], task: str
) -> tuple[list[float], list[float], float]:
    """Effect and confidence by code, and the strength of the prior, for one output."""
    rows = list(zip(codes, y, weight, strict=True))
    total = sum(w for _, _, w in rows)
    mean = sum(w * v for _, v, w in rows) / total
    n, means = [0.0] * n_codes, [mean] * n_codes
    for k in range(n_codes):
        n[k] = sum(w for c, _, w in rows if c == k)
        if n[k] > 0:
            means[k] = sum(w * v for c, v, w in rows if c == k) / n[k]
    squares = sum(w * (v - mean) ** 2 for _, v, w in rows)
    strength = prior_strength(n, [[m - mean] for m in means], squares)
    confidence = [weight_k / (weight_k + strength) for weight_k in n]
    effects = [
        link(mean + c * (m - mean), task) - link(mean, task)
        for c, m in zip(confidence, means, strict=True)
    ]
    return effects, confidence, strength


def prior_strength(n: Sequence[float], shifts: Sequence[Sequence[float]], squares: float) -> float:
    """Variance within categories over variance between, by moments of analysis of variance."""
    total, groups = sum(n), sum(1 for k in n if k > 0)
    between = sum(k * d**2 for k, row in zip(n, shifts, strict=True) for d in row)
    room = total - sum(k**2 for k in n) / total
    if total <= groups or room <= 0 or squares <= 0:
        return 1e9
    within = max(squares - between, 0.0) / (total - groups)
    tau = (between - (groups - 1) * within) / room
    return min(max(within / tau, 1e-3), 1e9) if tau > 0 else 1e9


# --- vectors ----------------------------------------------------------------------------


def naive_cosine(a, b):
    """Cosine of two vectors; 0 if one of them is zero."""
    product = math.fsum(float(x) * float(y) for x, y in zip(a, b, strict=True))
    lengths = [math.sqrt(math.fsum(float(x) ** 2 for x in v)) for v in (a, b)]
    return product / (lengths[0] * lengths[1]) if all(lengths) else 0.0


def naive_most_similar(vectors, query, categories, left_out=None):
    """All categories with their cosines, the highest first, ties in order."""
    found = [
        (category, naive_cosine(vector, query))
        for category, vector in zip(categories, vectors, strict=True)
        if category != left_out
    ]
    return sorted(found, key=lambda pair: -pair[1])


# --- explanations -----------------------------------------------------------------------


def integrated_gradients(score, start, end, steps=200, width=1e-6):
    """Contribution of each input by the definition: gradients along the path, by differences."""
    way = [float(b) - float(a) for a, b in zip(start, end, strict=True)]
    found = []
    for i, distance in enumerate(way):
        slopes = []
        for k in range(steps):
            x = np.array([a + (k + 0.5) / steps * d for a, d in zip(start, way, strict=True)])
            aside = np.zeros(len(x))
            aside[i] = width
            slopes.append((score(x + aside) - score(x - aside)) / (2 * width))
        found.append(distance * sum(slopes) / steps)
    return found


# --- pretraining ------------------------------------------------------------------------


def count_meetings(
    sequences: Sequence[Sequence[Sequence[int]]], n_lines: int, window: int | None
) -> np.ndarray:
    """Weights of pairs of lines: sequences of events of lines, by the rule of `count_pairs`."""
    counts = np.zeros((n_lines, n_lines))

    def meet(first: int, second: int, weight: float) -> None:
        if first != second:
            counts[first, second] += weight
            counts[second, first] += weight

    def weigh(distance: int, n_events: int) -> float:
        if window is None:
            return 1 / (n_events - 1)
        return max(window + 1 - distance, 0) / window

    for events in sequences:
        for event in events:
            for first, second in combinations(event, 2):
                meet(first, second, 1.0)
        for i, j in combinations(range(len(events)), 2):
            for first, second in product(events[i], events[j]):
                meet(first, second, weigh(j - i, len(events)))
    return counts


def shifted_positive_pmi(counts: np.ndarray, shift: float, smoothing: float) -> np.ndarray:
    """Cell by cell, from the formula."""
    totals = counts.sum(axis=1)
    contexts = np.array([n**smoothing if n else 0.0 for n in totals])
    contexts /= contexts.sum()
    result = np.zeros_like(counts)
    for i in range(len(counts)):
        for j in range(len(counts)):
            if counts[i, j]:
                information = math.log(counts[i, j] / (totals[i] * contexts[j]))
                result[i, j] = max(information - math.log(shift), 0.0)
    return result


def unpacked_steps(bits: Any, lows: Any, widths: Any, n: int) -> list[list[int]]:
    """The numbers in strings of bits, as text: one after the other, the highest bit first."""
    rows = []
    for row in range(n):
        text = "".join(f"{byte:08b}"[row % 8] for byte in bits[row // 8].tolist())
        steps = []
        for low, width in zip(lows.tolist(), widths.tolist(), strict=True):
            steps.append(low + int(text[:width], 2))
            text = text[width:]
        assert not text
        rows.append(steps)
    return rows
