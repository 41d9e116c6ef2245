"""All forms that a fitted predictor may take, which answer alike."""

import pickle

import numpy as np


def in_all_forms(model, answer, new, folder):
    """Check that saved, pickled and in PyTorch the model answers as it does; the one loaded.

    `answer` is a method of its class that takes the model and a table.
    """
    from catvec.torch import from_estimator, to_estimator

    expected = answer(model, new)
    model.save(folder / "model.catvec")
    loaded = type(model).load(folder / "model.catvec")
    assert loaded.choice_ == model.choice_
    for other in (loaded, pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(answer(other, new), expected)
    module = from_estimator(loaded)
    np.testing.assert_allclose(module.predict(new), expected, atol=1e-5)
    np.testing.assert_allclose(answer(to_estimator(module), new), expected, atol=1e-5)
    return loaded
