"""`fit_encode`: cross-fitted rows of tables of any size, Parquet in and Parquet out."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.model_selection import PredefinedSplit

from catvec import EmbeddingEncoder
from catvec.estimators._dealing import Deal, GroupDeal, TimeDeal
from catvec.estimators._encoder import FOLDS
from catvec.frames import _source as source_module
from catvec.frames import open_frame
from tests.estimators.test_streaming import FEATURES, QUICK, TABLE, written

pytestmark = pytest.mark.usefixtures("few_steps")

EFFECTS = {**QUICK, "output": "effects"}


@pytest.fixture
def large(monkeypatch):
    """Take every source for one that is larger than memory."""
    monkeypatch.setattr(source_module, "SMALL", 0)


def matrix(table):
    return np.column_stack([np.asarray(table[name]) for name in table.column_names])


def folds_of(encoder, n_rows):
    """The fold of each row that a fit to a table of so many rows on disk has."""
    seed = int(np.random.RandomState(encoder.random_state).randint(2**31 - 1))
    deal = Deal(n_rows, FOLDS, encoder.validation_fraction, seed)
    return deal.blocks(0, n_rows, None, None) % FOLDS


def test_a_table_in_memory_is_encoded_as_by_fit_transform(tmp_path):
    table = TABLE.select([*FEATURES, "y"])
    out = tmp_path / "out.parquet"
    settings = {**QUICK, "cv": 2, "n_networks": 1, "n_epochs": 2}
    y = table["y"].to_numpy()
    wanted = EmbeddingEncoder(**settings).fit_transform(table.select(FEATURES), y)
    path = written(tmp_path, table)
    for X in (table, path):
        encoder = EmbeddingEncoder(**settings).fit_encode(X, "y", out=out, keep=["y", "city"])
        found = pq.read_table(out)
        names = encoder.get_feature_names_out().tolist()
        assert found.column_names == ["y", "city", *names]
        assert found["city"].to_pylist() == table["city"].to_pylist()
        np.testing.assert_array_equal(matrix(found.select(names)), wanted)


@pytest.mark.parametrize("small", [0, 10**6])
def test_what_is_kept_is_copied_whether_it_is_a_feature_or_not(tmp_path, monkeypatch, small):
    monkeypatch.setattr(source_module, "SMALL", small)
    when = pa.array(range(len(TABLE)), pa.timestamp("ns", "Europe/Zurich"))
    table = TABLE.select(["city", "home", "y"]).append_column("when", when)
    table = table.append_column("blob", pa.array([b"x"] * len(TABLE)))
    floats = table.slice(2000).set_column(1, "home", table["home"][2000:].cast(pa.float64()))
    (folder := tmp_path / "table").mkdir()
    pq.write_table(table.slice(0, 2000), folder / "0.parquet")
    pq.write_table(floats, folder / "1.parquet")
    source = source_module.open_source(folder, tmp_path).without(["when", "blob", "home"])
    out = tmp_path / "out.parquet"
    EmbeddingEncoder(**EFFECTS).fit_encode(source, "y", out=out, keep=["when", "blob", "home"])
    found = pq.read_table(out)
    assert found.column_names[:3] == ["when", "blob", "home"]
    assert found.column_names[3].startswith("city")
    for name in ("when", "blob"):
        assert found[name].equals(table[name])
    assert found["home"].to_pylist() == table["home"].to_pylist()


@pytest.mark.usefixtures("large")
@pytest.mark.filterwarnings("ignore:The groups parameter is ignored")  # twins, to scikit-learn
@pytest.mark.parametrize("chunk_rows", [250, 10**6])
def test_a_table_on_disk_is_encoded_as_by_fit_transform(tmp_path, monkeypatch, chunk_rows):
    monkeypatch.setattr(source_module, "CHUNK_ROWS", chunk_rows)
    table = TABLE.select([*FEATURES, "y"])
    out = tmp_path / "out.parquet"
    encoder = EmbeddingEncoder(**EFFECTS).fit_encode(written(tmp_path, table), "y", out=out)
    in_memory = EmbeddingEncoder(
        **{**EFFECTS, "cv": PredefinedSplit(folds_of(encoder, len(table)))}
    )
    wanted = in_memory.fit_transform(table, "y")
    found = pq.read_table(out)
    assert found.column_names == in_memory.get_feature_names_out().tolist()
    np.testing.assert_allclose(matrix(found), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("large")
def test_vectors_and_scores_are_cross_fitted(tmp_path):
    table = TABLE.select([*FEATURES, "y"])
    rng = np.random.default_rng(0)
    noise = table.set_column(3, "y", pa.array(rng.standard_normal(len(table))))
    settings = {**QUICK, "cv": 2, "n_networks": 1, "n_epochs": 8}
    gains = []
    for i, t in enumerate((table, noise)):
        (folder := tmp_path / str(i)).mkdir()
        out = folder / "out.parquet"
        encoder = EmbeddingEncoder(**settings).fit_encode(
            written(folder, t), "y", out=out, keep=["y"]
        )
        found = pq.read_table(out)
        assert found.column_names == ["y", *encoder.get_feature_names_out()]
        np.testing.assert_array_equal(found["y"].to_numpy(), t["y"].to_numpy())
        y, score = found["y"].to_numpy(), found["joint_score"].to_numpy()
        gains.append(np.corrcoef(y, score)[0, 1])
    assert gains[0] > 0.8
    assert abs(gains[1]) < 0.1


@pytest.mark.usefixtures("large")
def test_in_time_the_first_rows_are_encoded_as_unknown(tmp_path):
    table = TABLE.select([*FEATURES, "y", "day"])
    out = tmp_path / "out.parquet"
    settings = {**EFFECTS, "time_column": "day", "cv": 4}
    EmbeddingEncoder(**settings).fit_encode(written(tmp_path, table), "y", out=out)
    confidence = pq.read_table(out)["city_confidence"].to_numpy()
    met = np.flatnonzero(confidence > 0)
    assert met.min() == pytest.approx(len(table) / 5, abs=20)
    assert (confidence[met.min() :] > 0).all()


@pytest.mark.usefixtures("large")
def test_mistakes_of_encoding_are_one_clear_error(tmp_path):
    folder = written(tmp_path, TABLE.select([*FEATURES, "y"]))
    encoder = EmbeddingEncoder(**EFFECTS)
    with pytest.raises(ValueError, match=r"too large.*use fit_encode"):
        encoder.fit_transform(folder, "y")
    with pytest.raises(ValueError, match=r"`out` must be a path that ends in .parquet"):
        encoder.fit_encode(folder, "y", out=tmp_path / "out.csv")
    with pytest.raises(ValueError, match="no column 'absent'"):
        encoder.fit_encode(folder, "y", out=tmp_path / "out.parquet", keep=["absent"])
    with pytest.raises(ValueError, match="could not write"):
        encoder.fit_encode(folder, "y", out=tmp_path / "no" / "out.parquet")
    split = EmbeddingEncoder(**EFFECTS, cv=PredefinedSplit([0, 1]))
    with pytest.raises(ValueError, match="`cv` must be an int"):
        split.fit_encode(folder, "y", out=tmp_path / "out.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["table"]


# --- who goes where ---------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_rows_are_dealt_evenly_and_folds_part_them(seed):
    deal = Deal(10_000, 5, 0.1, seed)
    places = deal.blocks(0, 10_000, None, None)
    assert np.bincount(places, minlength=deal.n_blocks).min() > 300
    in_parts = [deal.blocks(start, 2500, None, None) for start in range(0, 10_000, 2500)]
    np.testing.assert_array_equal(np.concatenate(in_parts), places)
    tested = [block for _, test in deal.folds() for block in test]
    assert sorted(tested) == list(deal.everything)
    for train, test in deal.folds():
        assert sorted([*train, *test]) == list(deal.everything)
    held = [set(deal.held_out(deal.everything, i)) for i in range(3)]
    assert all(len(blocks) == 2 for blocks in held)
    assert not held[0] & held[1]


@pytest.mark.parametrize("seed", range(3))
def test_groups_are_never_parted(seed):
    rng = np.random.default_rng(seed)
    groups = rng.zipf(1.3, 5000) % 200
    rows = np.bincount(groups, minlength=200)
    deal = GroupDeal(rows, 5000, 5, 0.1, seed)
    places = deal.blocks(0, 5000, groups, None)
    for group in np.unique(groups):
        assert len(set(places[groups == group].tolist())) == 1
    assert set(places.tolist()) == set(deal.everything)


@pytest.mark.parametrize("n_folds", [1, 4])
@pytest.mark.parametrize("start", [0, 2**60])
def test_time_is_never_turned(n_folds, start):
    rng = np.random.default_rng(0)
    times = open_frame({"t": rng.integers(0, 500, 20_000) + start}).moments("t")
    deal = TimeDeal(times, 20_000, n_folds, 0.1, 0)
    places = deal.blocks(0, 20_000, None, times)
    assert places.max() < deal.n_blocks
    sets = [deal.everything, *(train for train, _ in deal.folds())]
    for blocks in sets:
        held = deal.held_out(blocks, 0)
        early = times[np.isin(places, blocks) & ~np.isin(places, held)]
        late = times[np.isin(places, held)]
        assert early.max() < late.min()
        assert 0.05 < len(late) / (len(late) + len(early)) < 0.15
    for train, test in deal.folds():
        assert times[np.isin(places, train)].max() < times[np.isin(places, test)].min()
