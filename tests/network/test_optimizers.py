import numpy as np
import pytest

from catvec.network import _kernels as kernels
from catvec.network._layers import Parameters
from catvec.network._optimizers import AdamW, Schedule


def test_adamw_against_the_formula():
    rng = np.random.default_rng(0)
    shapes = {"a": (3,), "b": (2,)}
    values, gradients = Parameters(shapes, np.float64), Parameters(shapes, np.float64)
    values.flat[...] = rng.normal(size=5)
    theta, m, v = values.flat.copy(), np.zeros(5), np.zeros(5)
    optimizer = AdamW(values, gradients, n_decayed=3)
    for t in range(1, 6):
        g = gradients.flat[...] = rng.normal(size=5)
        optimizer.step(kernels, 0.01, 0.1)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        theta[:3] -= 0.01 * 0.1 * theta[:3]
        theta -= 0.01 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    np.testing.assert_allclose(values.flat, theta, rtol=1e-10)


@pytest.mark.parametrize("n_epochs", [1, 2, 20])
def test_the_rate_never_grows_and_has_decayed_at_the_end(n_epochs):
    schedule = Schedule(2e-3, n_epochs)
    rates = [schedule.rate(e) for e in np.linspace(0, n_epochs, 50)]
    assert rates[0] == pytest.approx(2e-3)
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] <= 0.05 * rates[0]
