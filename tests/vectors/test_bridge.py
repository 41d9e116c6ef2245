"""To gensim and back, word2vec files both ways; categories keep their types, misfits are told."""

import sys

import numpy as np
import pytest

from catvec import CategoryVectors
from catvec.errors import CatvecWarning, InputError, MissingDependencyError, ParameterError
from catvec.frames import Vocabulary, one_column
from catvec.vectors import export, untargeted_column


def make(values, dim=4, name="item"):
    """Vectors of a column with these rows."""
    vocabulary, _ = Vocabulary.learn(one_column(name, values))
    vectors = np.random.default_rng(0).normal(size=(vocabulary.n_codes, dim)).astype(np.float32)
    vectors[:2] = 0
    return CategoryVectors([untargeted_column(vocabulary, vectors)])


TEXTS = ["New York", "Zürich", "Zürich", "100%", "", "a\tb"]
NUMBERS = [262, 7, 7, -3]


@pytest.mark.parametrize("values", [TEXTS, NUMBERS, [0.5, 2.0], [True, False]])
def test_gensim_and_back_is_the_same(values):
    pytest.importorskip("gensim")
    vectors = make(values)
    keyed = vectors.to_gensim()
    assert len(keyed) == len(vectors["item"])
    again = CategoryVectors.from_gensim(keyed, column="item", categories=vectors["item"])
    assert again["item"] == vectors["item"]
    assert again.metadata["bridge"]["n_missing"] == again.metadata["bridge"]["n_extra"] == 0
    family = vectors["item"].vocabulary.families[0]
    alone = CategoryVectors.from_gensim(keyed, column="item", family=family)
    assert alone["item"] == vectors["item"]  # counts came along


def test_gensim_answers_as_we_do():
    pytest.importorskip("gensim")
    vectors = make([f"i{k}" for k in range(30)])
    theirs = vectors.to_gensim("item").most_similar("i3", topn=5)
    ours = vectors["item"].most_similar("i3", topn=5)
    assert [key for key, _ in theirs] == [key for key, _ in ours]
    np.testing.assert_allclose([c for _, c in theirs], [c for _, c in ours], atol=1e-5)


def test_a_gensim_model_is_taken_over():
    gensim = pytest.importorskip("gensim")
    model = gensim.models.Word2Vec(
        [["1", "2", "3"], ["2", "3"]] * 5, vector_size=4, min_count=1, seed=1, workers=1
    )
    vectors = CategoryVectors.from_gensim(model, column="item", family="number")
    np.testing.assert_array_equal(vectors["item"][2], model.wv["2"])
    assert vectors["item"].counts.tolist() == [5, 10, 10]
    mean = np.average(vectors["item"].vectors, axis=0, weights=[5, 10, 10])
    np.testing.assert_allclose(vectors["item"].unknown.vector, mean, rtol=1e-5)


@pytest.mark.parametrize("values", [TEXTS, NUMBERS, [True, False, None]])
def test_word2vec_text_and_back_is_the_same(values, tmp_path):
    vectors = make(values)
    export(vectors, tmp_path / "items.txt", "word2vec")
    again = CategoryVectors.from_word2vec(
        tmp_path / "items.txt", column="item", categories=vectors["item"]
    )
    assert again["item"] == vectors["item"]
    family = vectors["item"].vocabulary.families[0]
    alone = CategoryVectors.from_word2vec(tmp_path / "items.txt", column="item", family=family)
    np.testing.assert_array_equal(alone["item"].categories, vectors["item"].categories)
    np.testing.assert_array_equal(alone["item"].vectors, vectors["item"].vectors)
    assert not alone["item"].counts.any()


@pytest.mark.parametrize("binary", [True, False])
def test_files_of_gensim_are_read(binary, tmp_path):
    pytest.importorskip("gensim")
    vectors = make(["a", "b", "Zürich"])
    path = tmp_path / ("items.bin" if binary else "items.txt")
    vectors.to_gensim().save_word2vec_format(path, binary=binary)
    again = CategoryVectors.from_word2vec(path, column="item")
    np.testing.assert_allclose(again["item"].vectors, vectors["item"].vectors, atol=1e-6)
    assert list(again["item"]) == list(vectors["item"])


def test_what_does_not_match_is_told(tmp_path):
    export(make(["1", "2", "3", "x"]), tmp_path / "items.txt", "word2vec")
    with pytest.warns(CatvecWarning, match=r"1 of 3 .* \('9'\); 2 vectors .* \('3', 'x'\)"):
        vectors = CategoryVectors.from_word2vec(
            tmp_path / "items.txt", column="product", categories=[1, 2, 2, 9]
        )
    column = vectors["product"]
    assert list(column) == [1, 2, 9]
    np.testing.assert_array_equal(column[9], column.unknown.vector)
    assert column.counts.tolist() == [1, 2, 1]
    report = vectors.metadata["bridge"]
    assert (report["missing"], report["extra"]) == (["9"], ["3", "x"])
    assert (report["n_vectors"], report["n_missing"], report["n_extra"]) == (4, 1, 2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a 1 2\n", "must begin with the numbers of words and of dimensions"),
        (b"2 2\na 1 2\nb 3\n", "line 3 must hold a word and 2 numbers"),
        (b"1 2\na 1 x\n", "is not in the format of word2vec"),
        (b"0 2\n", "no vectors to take over into the column 'item'"),
        (b"1 0\na\n", "must begin with the numbers of words and of dimensions"),
        (b"99999999999 300\na 1\n", "not in the format .* too short for 99999999999 words of 300"),
    ],
)
def test_a_file_that_is_none_is_said(content, message, tmp_path):
    (tmp_path / "v.txt").write_bytes(content)
    with pytest.raises(InputError, match=message):
        CategoryVectors.from_word2vec(tmp_path / "v.txt", column="item")
    (tmp_path / "v.bin").write_bytes(b"2 2\na \0\0\0\0\0\0\0\0b \0")
    with pytest.raises(InputError, match="is not in the format of word2vec"):
        CategoryVectors.from_word2vec(tmp_path / "v.bin", column="item")
    with pytest.raises(InputError, match="cannot be read: No such file"):
        CategoryVectors.from_word2vec(tmp_path / "none.txt", column="item")


def test_misfits_are_said(tmp_path):
    export(make(["a", "b"]), tmp_path / "v.txt", "word2vec")
    with pytest.raises(InputError, match="the key 'a' of column 'item' is no number"):
        CategoryVectors.from_word2vec(tmp_path / "v.txt", column="item", family="number")
    for text in ("1_0", "1_0.5"):
        export(make(["1", text]), tmp_path / "w.txt", "word2vec")
        with pytest.raises(InputError, match=f"the key '{text}' of column 'item' is no number"):
            CategoryVectors.from_word2vec(tmp_path / "w.txt", column="item", family="number")
    with pytest.raises(InputError, match="no vector is of a category of column 'item'"):
        CategoryVectors.from_word2vec(tmp_path / "v.txt", column="item", categories=["c"])
    with pytest.raises(ParameterError, match="`family` must be one of"):
        CategoryVectors.from_word2vec(tmp_path / "v.txt", column="item", family="int")


def test_what_gensim_cannot_have_is_said(monkeypatch):
    two = CategoryVectors([make(["a"], name=name)[name] for name in ("x", "y")])
    with pytest.raises(ParameterError, match=r"`column` must be one of 'x', 'y', got None"):
        two.to_gensim()
    with pytest.raises(InputError, match="'item' mixes number and text categories"):
        make([1, "1"]).to_gensim()
    with pytest.raises(ParameterError, match="'item' has effects only"):
        make(["a"], dim=0).to_gensim()
    monkeypatch.setitem(sys.modules, "gensim", None)
    with pytest.raises(MissingDependencyError, match="to_gensim needs gensim: pip install gensim"):
        make(["a"]).to_gensim()
