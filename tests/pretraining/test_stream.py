"""Sequences from disk are those of the same table in memory, wherever their events stand."""

import itertools

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catvec import EmbeddingPretrainer
from catvec.errors import InputError
from catvec.frames import open_frame
from catvec.frames._source import open_source
from catvec.pretraining import _stream, read_corpus, stream_corpus


@pytest.fixture
def events(rng):
    """600 events of 120 sequences in a random order, some without a sequence or an item."""
    step = rng.permutation(600)
    sequence = rng.integers(0, 120, 600)
    return pa.table(
        {
            "s": pa.array(sequence, mask=rng.random(600) < 0.05),
            "text": pa.array([f"s{i}" for i in sequence]),
            "item": pa.array(rng.integers(0, 25, 600) * 2, mask=rng.random(600) < 0.05),
            "brand": [f"b{i}" for i in rng.integers(0, 6, 600)],
            "step": step,
            "id": step + 2**60,
            "time": pa.array(step, pa.timestamp("ns")),
        }
    )


@pytest.fixture
def files(events, tmp_path):
    """The same in three files of several row groups, in a folder."""
    for i in range(3):
        part = events.slice(200 * i, 200)
        pq.write_table(part, tmp_path / f"part-{i}.parquet", row_group_size=70)
    return tmp_path


def as_set(corpus):
    """Every sequence with its lines in their order, in an order of their own."""
    found = []
    for part in corpus.parts:
        for a, b in itertools.pairwise(part.offsets):
            found.append(tuple(map(tuple, part.lines[a:b].tolist())))
    return sorted(found)


@pytest.mark.parametrize("order", [None, "step", "id", "time", True])
@pytest.mark.parametrize("sequence", ["s", "text"])
@pytest.mark.parametrize("part_rows", [10_000, 50])
def test_sequences_are_those_in_memory(
    events, files, tmp_path, monkeypatch, order, sequence, part_rows
):
    monkeypatch.setattr(_stream, "PART_ROWS", part_rows)
    monkeypatch.setattr("catvec.frames._source.CHUNK_ROWS", 64)
    options = {"sequence": sequence, "order": order, "min_frequency": 20}
    source = open_source(files, tmp_path / "frames")
    streamed = stream_corpus(source, ["item", "brand"], folder=tmp_path / "kept", **options)
    plain = read_corpus(open_frame(events), ["item", "brand"], **options)
    assert len(streamed.parts) == max(1, 600 // part_rows)
    assert as_set(streamed) == as_set(plain)
    if order in ("id", "time"):
        steps = read_corpus(open_frame(events), ["item", "brand"], **{**options, "order": "step"})
        assert as_set(plain) == as_set(steps)
    assert streamed.ordered == plain.ordered
    for ours, theirs in zip(streamed.vocabularies, plain.vocabularies, strict=True):
        assert ours.to_table().equals(theirs.to_table())
    np.testing.assert_array_equal(streamed.counts(), plain.counts())


@pytest.mark.parametrize("listed", [False, True])
def test_many_items_are_counted_as_few_are(events, tmp_path, monkeypatch, listed):
    """By DuckDB, but the same events: those with a sequence, or the elements of lists."""
    pytest.importorskip("duckdb")
    table, options = events, {"sequence": "s", "order": None, "min_frequency": 2}
    if listed:
        lists = [events["item"][i : i + 4].to_pylist() for i in range(0, 600, 4)]
        table, options = pa.table({"item": lists}), {**options, "sequence": None, "order": True}
    plain = read_corpus(open_frame(table), ["item"], **options)
    monkeypatch.setattr("catvec.frames._counting.MOST_VALUES", 5)
    monkeypatch.setattr("catvec.frames._counting.SLACK", 5)
    source = open_source([table.slice(0, 70), table.slice(70)], tmp_path / "frames")
    streamed = stream_corpus(source, ["item"], folder=tmp_path / "kept", **options)
    assert streamed.vocabularies[0].to_table().equals(plain.vocabularies[0].to_table())


@pytest.mark.parametrize("start", [-(2.0**63), 2.0**63, 1.8e19, 1e25])
def test_ids_beyond_64_bits_are_told_apart(events, tmp_path, start):
    """Floats, as pandas reads hashes with a gap; a file without a gap holds them as integers."""
    step = 4096.0 if start < 2**64 else 1e22
    ids = start + step * events["s"].fill_null(0).to_numpy()
    table = pa.table({"s": ids, "item": events["item"]})
    parts = [table.slice(0, 300), table.slice(300)]
    if 0 < start < 2**64:
        parts[1] = parts[1].set_column(0, "s", pa.array(ids[300:].astype(np.uint64)))
    source = open_source(parts, tmp_path / "frames")
    options = {"sequence": "s", "order": None, "min_frequency": 1}
    streamed = stream_corpus(source, ["item"], folder=tmp_path / "kept", **options)
    plain = read_corpus(open_frame(table), ["item"], **options)
    assert len(as_set(plain)) > 100
    assert as_set(streamed) == as_set(plain)


def test_a_path_gives_the_vectors_of_its_table(events, files, monkeypatch):
    monkeypatch.setattr(_stream, "PART_ROWS", 100)
    pretrainer = EmbeddingPretrainer(
        sequence="text", item="item", embedding_dim=6, eigenvalue_exponent=1.0, random_state=0
    )
    plain = pretrainer.fit(events).vectors_["item"]
    whole = [events.slice(0, 300), events.slice(300)]
    for X in (str(files), str(files / "part-*.parquet"), whole, iter(whole)):
        streamed = pretrainer.fit(X).vectors_["item"]
        np.testing.assert_array_equal(streamed.categories, plain.categories)
        np.testing.assert_allclose(streamed.vectors, plain.vectors, atol=2e-3)
    assert (
        pretrainer.n_events_
        == read_corpus(open_frame(events), ["item"], sequence="text").parts[0].n_events
    )


def test_skipgram_tables_and_lists_from_disk(events, tmp_path, monkeypatch):
    monkeypatch.setattr(_stream, "PART_ROWS", 100)
    pq.write_table(events, tmp_path / "events.parquet")
    path = tmp_path / "events.parquet"
    skipgram = EmbeddingPretrainer(
        method="skipgram", sequence="s", item="item", max_epochs=2, embedding_dim=4,
        engine="numpy", random_state=0, validation_fraction=0.3,
    )  # fmt: skip
    assert skipgram.fit(path).history_[1]["held_out_loss"] is not None
    again = skipgram.vectors_
    assert skipgram.fit(path).vectors_ == again
    chosen = {"shift": 1.0, "eigenvalue_exponent": 0.25, "power_iterations": 3}
    table = EmbeddingPretrainer(method="table", item=["item", "brand"], random_state=0, **chosen)
    counted = table.fit(path).history_
    assert counted == table.fit(events).history_
    baskets = pa.table({"item": [["a", "b"], ["b", "c", "a"], None, ["c", "a"]] * 20})
    pq.write_table(baskets, tmp_path / "lists.parquet")
    lists = EmbeddingPretrainer(item="item", random_state=0)
    assert lists.fit(tmp_path / "lists.parquet").history_ == lists.fit(baskets).history_


def test_benefit_from_disk(tmp_path, rng, monkeypatch):
    monkeypatch.setattr(_stream, "PART_ROWS", 300)
    s = rng.integers(0, 200, 1000)
    pq.write_table(
        pa.table({"s": s, "i": 10 * (s % 4) + rng.integers(0, 10, 1000)}), tmp_path / "e.parquet"
    )
    pretrainer = EmbeddingPretrainer(sequence="s", item="i", random_state=0)
    assert pretrainer.benefit(tmp_path / "e.parquet").found


def test_what_does_not_fit_is_named(events, files, tmp_path):
    def fit(X, **options):
        options = {"sequence": "s", "item": "item", **options}
        return EmbeddingPretrainer(**options).fit(X)

    with pytest.raises(InputError, match="no column 'cart' in"):
        fit(files, sequence="cart")
    with pytest.raises(InputError, match="no such file"):
        fit(tmp_path / "none.parquet")
    no_step = events.set_column(4, "step", pa.nulls(600, pa.int64()))
    with pytest.raises(InputError, match=r"frame 2: the order column .* in rows 600;"):
        fit([events, no_step.slice(0, 1)], sequence="text", order="step")
    with pytest.raises(InputError, match=r"frame 1: column 'brand' holds text .* orders rows"):
        fit([events, events], order="brand")
    empty = events.set_column(0, "s", pa.nulls(600, pa.int64()))
    pq.write_table(empty, tmp_path / "part-0.parquet")
    with pytest.raises(InputError, match="the sequence is missing in every row"):
        fit(tmp_path / "part-0.parquet")
    pq.write_table(events.slice(0, 0), tmp_path / "part-0.parquet")
    with pytest.raises(InputError, match="there are no events"):
        fit(tmp_path / "part-0.parquet")
