"""Artifacts of every format ever written still load: the golden folders are never made anew.

Should a format change, add a folder ``golden/v3.catvec`` beside the old ones. It is made by
``python -m tests.test_storage_compat tests/golden/v3.catvec``.
"""

import datetime
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from catvec import EmbeddingRegressor
from catvec._packing import Coordinates, PackedRows
from catvec.frames import HashedVocabulary, one_column
from catvec.vectors import CategoryVectors, ColumnVectors, read_artifact
from catvec.vectors._schema import FORMAT_VERSION
from tests.vectors.examples import make_column

GOLDEN = Path(__file__).parent / "golden"

COLUMNS = {
    "Store": [1, 2, 3, 2, None, 7],
    "city": ["Graz", "", "Łódź", "two\nlines"],
    "price": [2.5, 3.0, None],
    "open": [True, False],
    "day": [datetime.date(2020, 1, 1), None],
    "mixed": [1, "1", True, 2.5],
    "empty": [None],
    "../a/b": list("aaabbbcd"),
}


def golden_vectors(version=FORMAT_VERSION):
    """What the golden folders hold; made of nothing that another release would change."""
    columns = []
    for name, values in COLUMNS.items():
        template = make_column(name, values, dim=2, min_frequency=1 + (name == "../a/b"))
        n = template.vocabulary.n_codes
        table = np.arange(2 * n, dtype=np.float32).reshape(n, 2) / 8 - 1
        effects = np.column_stack([table[:, 0], -table[:, 1]])
        confidences = np.linspace(0, 1, n, dtype=np.float32)
        columns.append(
            type(template)(template.vocabulary, table, effects, confidences, classes=["no", "yes"])
        )
    if version >= 2:
        columns += [hashed_column(n_hashes) for n_hashes in (1, 2)]
        for precision in ("float16", "int8"):
            template = make_column(precision, ["a", "b"], dim=2)
            table = np.array([[0, 0], [0, 0], [1, 1 / 3], [-0.2, 0.1]], np.float32)
            arrays = table, table, np.zeros(4)
            column = ColumnVectors(template.vocabulary, *arrays, classes=["no", "yes"])
            columns.append(column.compress(precision))
    if version >= 3:
        columns += [packed_column("packed"), packed_column("counted")]
    return CategoryVectors(columns, metadata={"loss": "softmax", "classes": ["no", "yes"]})


def hashed_column(n_hashes):
    """Of values told apart and five buckets, with one or with two hash functions."""
    name = f"hashed_{n_hashes}"
    values = one_column(name, ["a", "b", "a", None, "c", "d"])
    sizes = {"n_buckets": 5, "n_hashes": n_hashes, "n_exact": 1}
    vocabulary, _ = HashedVocabulary.learn_hashed(values, **sizes)
    table = np.arange(16, dtype=np.float32).reshape(8, 2) / 8 - 1
    weights = np.linspace(0, 1, 8, dtype=np.float32)
    importances = np.stack([weights, 1 - weights], 1) if n_hashes == 2 else None
    arrays = table, table / 2, np.abs(table[:, 0])
    return ColumnVectors(vocabulary, *arrays, classes=["no", "yes"], importances=importances)


def packed_column(name):
    """Two dimensions by three and two bits, in halves; effects in eight bits."""
    template = make_column(name, ["a", "b", "b", "b"], dim=2)
    # Of a 111 and 01, of b 100 and 11, the third and the fourth row.
    bits = np.array([[0b0011, 0b0010, 0b0010, 0b0001, 0b0011]], np.uint8) << 4
    lows, widths = np.array([-2, 0], np.int32), np.array([3, 2], np.uint8)
    coordinates = Coordinates(bits, lows, widths, np.asarray(0.5), range(4))
    directions, center = np.eye(2, dtype=np.float16), np.ones(2, np.float32)
    effects = np.arange(8).reshape(4, 2) / 8
    counts = template.vocabulary.counts
    confidences = counts / (counts + 2) if name == "counted" else np.linspace(0, 1, 4)
    table = np.zeros((4, 2))
    column = ColumnVectors(template.vocabulary, table, effects, confidences, classes=["no", "yes"])
    return column.packed(PackedRows(coordinates, directions, center))


@pytest.mark.parametrize("folder", sorted(GOLDEN.glob("*.catvec")), ids=lambda path: path.name)
def test_golden_artifacts_still_load(folder):
    loaded = CategoryVectors.load(folder)
    assert loaded == golden_vectors(read_artifact(folder).schema["format_version"])
    assert loaded["Store"][7].tolist() == loaded["Store"].vectors[3].tolist() == [0.25, 0.375]
    assert "c" not in loaded["../a/b"]


def test_hashed_columns_of_golden_artifacts_answer_as_ever():
    """Hash functions that changed would find other buckets."""
    loaded = CategoryVectors.load(GOLDEN / "v2.catvec")
    assert loaded["hashed_1"]["c"].tolist() == [0.75, 0.875]
    assert loaded["hashed_2"]["c"].tolist() == [0.3214285969734192, 0.4464285671710968]
    assert loaded["hashed_2"]["a"].tolist() == [-0.5, -0.375]


def test_packed_vectors_of_golden_artifacts_answer_as_ever():
    loaded = CategoryVectors.load(GOLDEN / "v3.catvec")["packed"]
    assert loaded["a"].tolist() == [1 + (7 - 2) / 2, 1 + 1 / 2]
    assert loaded["b"].tolist() == [1 + (4 - 2) / 2, 1 + 3 / 2]


def test_a_model_from_before_importances_still_predicts():
    """Saved by 0.1.0 as it was when `column_importances_` was not yet measured."""
    model = EmbeddingRegressor.load(GOLDEN / "models" / "v1_without_importances")
    rows = {"city": ["Bern", "Rome", "Oslo", "?"], "size": [0.0, 1.0, -1.0, 0.5]}
    expected = [2.40527235, 2.5483172, 2.84808788, 2.54541786]
    np.testing.assert_allclose(model.predict(rows), expected, rtol=1e-6)
    assert model.column_importances_ == {}
    assert model.explain(rows).columns == ("city", "size")


def test_there_is_a_golden_artifact_of_every_format():
    schemas = [json.loads(path.read_text("utf-8")) for path in GOLDEN.glob("*/schema.json")]
    versions = sorted(schema["format_version"] for schema in schemas)
    assert versions == list(range(1, FORMAT_VERSION + 1))


if __name__ == "__main__":
    golden_vectors().save(sys.argv[1])
