"""One column's lookup layer: sizes, errors, dropout, penalties, learned vectors."""

import numpy as np
import pytest
import torch

from catvec import EmbeddingEncoder
from catvec.errors import CategoryError, InputError, ParameterError
from catvec.torch import (
    CategoryEmbedding,
    CategoryEmbeddings,
    HashEmbedding,
    QuotientRemainderEmbedding,
    RegularizedEmbedding,
    to_vectors,
)


@pytest.mark.parametrize("shape", [(), (4,), (2, 3), (0,)])
def test_codes_of_any_shape(shape):
    assert CategoryEmbedding(9, 5)(torch.zeros(shape, dtype=torch.int32)).shape == (*shape, 5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 3), "`num_embeddings` must be an int >= 1, got 0"),
        ((3, 2.5), "`embedding_dim` must be an int >= 1, got 2.5"),
    ],
)
def test_sizes_are_checked(arguments, message):
    with pytest.raises(ParameterError, match=message):
        CategoryEmbedding(*arguments)


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        ([2, 9], "below 9, the rows of the table, got 2 to 9"),
        ([-1], "got -1 to -1"),
        ([0.5], "must be a tensor of integers, got torch.float32"),
    ],
)
def test_what_is_no_code_is_refused(codes, message):
    with pytest.raises(InputError, match=message):
        CategoryEmbedding(9, 5)(torch.tensor(codes))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32])
def test_codes_of_any_width(dtype):
    codes = torch.tensor([200, 3, 0]).to(dtype)
    for layer in (
        CategoryEmbedding(201, 4),
        RegularizedEmbedding(201, 4, category_dropout=0.0, l2=1.0).eval(),
        HashEmbedding(50, 4),
        QuotientRemainderEmbedding(201, 4, 1000),  # more buckets than a byte can tell
    ):
        torch.testing.assert_close(layer(codes), layer(codes.long() % 256))
    layer = CategoryEmbeddings([201] * 3, [4] * 3)
    torch.testing.assert_close(layer(codes[None]), layer(codes[None].long()))


def test_what_is_no_tensor_is_refused():
    for layer in (CategoryEmbedding(9, 5), CategoryEmbeddings([9], [5])):
        with pytest.raises(InputError, match=r"tensor of integers, got list: torch.as_tensor"):
            layer([[1]])


def test_a_code_beyond_a_table_is_not_taken_for_a_row_of_the_next():
    layer = CategoryEmbeddings([4, 6], [3, 3], names=["day", "shop"])
    with pytest.raises(InputError, match=r"column 'day' must be .* below 4, .* got 4, 9"):
        layer(torch.tensor([[4, 0], [9, 0]]))
    with pytest.raises(InputError, match=r"column 'shop' must be at least 0 and below 6"):
        layer(torch.tensor([[3, -1]]))
    with pytest.raises(InputError, match=r"column 'day' must be .* below 4, .* got 4"):
        layer.l2(torch.tensor([[4, 0]]))
    with pytest.raises(InputError, match=r"below 5, the rows of the table, got 5 to 5"):
        RegularizedEmbedding(5, 3, l2=1.0).penalty(torch.tensor([5]))
    with pytest.raises(InputError, match=r"of shape \(rows, 2\), got \(3,\)"):
        layer(torch.tensor([1, 2, 3]))


def test_columns_are_found_by_position_and_by_names_that_are_not_twins():
    layer = CategoryEmbeddings([4, 6, 5], [3, 2, 3], names=["a", "b", "a"])
    assert layer.table("b").shape == (6, 2)
    assert layer.table(2).shape == (5, 3)
    with pytest.raises(CategoryError, match="more than one column is called 'a'"):
        layer.table("a")
    with pytest.raises(CategoryError, match="no column 'c'; the columns are 'a', 'b', 'a'"):
        layer.table("c")
    with pytest.raises(ParameterError, match="`names` must be 3 names"):
        CategoryEmbeddings([4, 6, 5], [3, 2, 3], names=["a"])
    with pytest.raises(ParameterError, match="`embedding_dims` must be 2 widths"):
        CategoryEmbeddings([4, 6], [3])
    with pytest.raises(ParameterError, match=r"`names` must be 2 names, .* got 'ab'"):
        CategoryEmbeddings([4, 6], [3, 3], names="ab")


def test_what_is_to_be_frozen_is_checked():
    layer = CategoryEmbedding(9, 5)
    layer.freeze([2])
    for codes in ([9], [-1]):
        with pytest.raises(InputError, match="below 9, the rows of the table"):
            layer.freeze(codes)
    with pytest.raises(InputError, match=r"must be a tensor of integers, got torch.float32"):
        layer.freeze([0.5])
    with pytest.raises(ParameterError, match="`columns` must be a list of positions or names"):
        CategoryEmbeddings([4], [3], names=["a"]).freeze("a")


@pytest.mark.parametrize("nothing", [[], np.array([], int), torch.tensor([])])
def test_nothing_can_be_frozen(nothing):
    layer = CategoryEmbedding(9, 5)
    layer.freeze(nothing)
    layer(torch.arange(9)).sum().backward()
    assert layer.weight.grad.all()


def test_l2_is_of_the_rows_used_each_once():
    layer = CategoryEmbeddings([4, 6], [3, 2])
    codes = torch.tensor([[1, 5], [1, 2], [3, 5]])
    expected = (layer.table(0)[[1, 3]] ** 2).sum() / 2 + (layer.table(1)[[2, 5]] ** 2).sum() / 2
    torch.testing.assert_close(layer.l2(codes), expected)
    assert CategoryEmbeddings([], []).l2(torch.zeros(4, 0, dtype=torch.long)) == 0


def test_the_dropouts_act_in_training_only_and_keep_the_mean():
    torch.manual_seed(0)
    layer = RegularizedEmbedding(4, 5, dropout=0.25, category_dropout=0.2)
    with torch.no_grad():
        layer.weight[1:] = 1.0
        layer.weight[0] = 7.0
    codes = torch.full((4000,), 2)
    torch.testing.assert_close(layer.eval()(codes), torch.ones(4000, 5))
    found = layer.train()(codes).detach()
    unknown = (found > 2).any(1)
    assert unknown.float().mean() == pytest.approx(0.2, abs=0.03)
    assert (found[~unknown] == 0).float().mean() == pytest.approx(0.25, abs=0.02)
    assert found[~unknown].mean() == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("sparse", [False, True])
def test_the_penalty_is_its_formula_and_over_an_epoch_the_prior(sparse):
    torch.manual_seed(0)
    counts = [0, 0, 3, 1, 2]
    layer = RegularizedEmbedding(5, 3, l2=0.5, shrinkage=2.0, counts=counts, sparse=sparse)
    with torch.no_grad():
        layer.weight.normal_()
    codes = torch.tensor([2, 3, 2, 4])
    v = layer.weight.detach().numpy().astype(np.float64)
    away = {k: ((v[k] - v[0]) ** 2).sum() for k in range(5)}
    prior = 2.0 / (2 * 4) * (2 * away[2] / 3 + away[3] / 1 + away[4] / 2)
    l2 = 0.25 * (v[[2, 3, 4]] ** 2).sum()
    assert layer.penalty(codes).item() == pytest.approx(prior + l2, rel=1e-5)
    layer.penalty(codes).backward()
    gradient = layer.weight.grad.to_dense()
    assert not gradient[1].any()
    assert gradient[0].any()  # the unknown row is drawn to the others

    layer.l2 = 0.0
    epoch = [torch.tensor([2, 3, 2]), torch.tensor([4, 2, 4])]
    whole = sum(3 * layer.penalty(codes).item() for codes in epoch)
    assert whole == pytest.approx(2.0 / 2 * (away[2] + away[3] + away[4]), rel=1e-5)


def test_the_prior_needs_counts():
    with pytest.raises(ParameterError, match="`counts` must be given with `shrinkage`"):
        RegularizedEmbedding(5, 3, shrinkage=1.0)
    with pytest.raises(ParameterError, match=r"`counts` must be of shape \(5,\), got \(2,\)"):
        RegularizedEmbedding(5, 3, shrinkage=1.0, counts=[1, 2])
    with pytest.raises(ParameterError, match="`counts` must be finite and at least 0"):
        RegularizedEmbedding(3, 3, shrinkage=1.0, counts=[1, -1, 2])
    with pytest.raises(ParameterError, match="`counts` must be numbers of training rows"):
        RegularizedEmbedding(3, 3, shrinkage=1.0, counts="many")
    with pytest.raises(ParameterError, match=r"`num_embeddings` must be an int >= 1, got 2.5"):
        RegularizedEmbedding(2.5, 3)


@pytest.mark.parametrize("make", [list, np.array, torch.tensor])
def test_counts_are_the_layers_own(make):
    counts = make([1.0, 2.0, 3.0])
    layer = RegularizedEmbedding(3, 2, shrinkage=1.0, counts=counts)
    counts[2] = 7.0
    assert layer.counts.tolist() == [1, 2, 3]


@pytest.mark.parametrize("freeze", [True, False])
def test_learned_vectors_in_and_out(fitted, freeze):
    vectors = fitted.vectors_
    column = vectors["shop"]
    layer = CategoryEmbedding.from_vectors(column, freeze=freeze)
    code = column.vocabulary.code("shop 3")
    np.testing.assert_array_equal(layer(torch.tensor(code)).detach(), column["shop 3"])
    assert layer.weight.requires_grad is not freeze
    assert to_vectors(layer)["shop"] == column

    layers = CategoryEmbeddings.from_vectors(vectors, freeze=freeze)
    assert layers.names == vectors.columns
    back = to_vectors(layers)
    assert [back[name] == vectors[name] for name in vectors] == [True, True]
    with torch.no_grad():
        layers.table("shop")[code] = 1.5
    assert (to_vectors(layers)["shop"]["shop 3"] == 1.5).all()
    assert to_vectors(layers)["shop"].effect("shop 3") == column.effect("shop 3")


def test_only_learned_vectors_are_taken(fitted):
    with pytest.raises(ParameterError, match=r"of one column, as .*, got CategoryVectors$"):
        CategoryEmbedding.from_vectors(fitted.vectors_)
    with pytest.raises(ParameterError, match=r"a CategoryVectors, as .*, got ndarray$"):
        CategoryEmbeddings.from_vectors(np.zeros((3, 3)))
    effects = EmbeddingEncoder(output="effects").fit({"shop": list("aabb")}, [1, 2, 3, 4]).vectors_
    with pytest.raises(ParameterError, match=r"with vectors of width 1 or more, got \['shop'\]"):
        CategoryEmbeddings.from_vectors(effects)


@pytest.mark.parametrize("name", ["num_embeddings", "embedding_dims", "names"])
def test_what_vectors_tell_is_no_parameter_beside_them(fitted, name):
    with pytest.raises(ParameterError, match=f"`{name}` must be left out, since .*, got 5"):
        CategoryEmbeddings.from_vectors(fitted.vectors_, **{name: 5})
    one = "embedding_dim" if name == "embedding_dims" else "num_embeddings"
    with pytest.raises(ParameterError, match=f"`{one}` must be left out, since .*, got 5"):
        CategoryEmbedding.from_vectors(fitted.vectors_["shop"], **{one: 5})


def test_counts_of_learned_vectors_are_taken_as_they_are(fitted):
    column = fitted.vectors_["shop"]  # whose arrays are read-only, of which PyTorch warns
    counts = column.vocabulary.counts
    layer = RegularizedEmbedding.from_vectors(column, shrinkage=1.0, counts=counts)
    assert layer.counts.tolist() == counts.tolist()


def test_a_module_that_knows_no_categories_gives_no_vectors():
    with pytest.raises(ParameterError, match="which knows categories"):
        to_vectors(CategoryEmbedding(5, 3))
