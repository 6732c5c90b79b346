"""What builders of all operators share."""

import nengo
import numpy as np
import pytest

from nengo_dl.builders import BuildConfig, OpBuilder, Writes


class Builder(OpBuilder):
    """Does nothing."""

    def step(self, reads, previous):
        return Writes()


@pytest.fixture
def builder():
    signal = nengo.builder.signal.Signal(shape=(1,))
    return Builder(
        [nengo.builder.operator.Reset(signal)], BuildConfig(0.001, np.dtype(np.float64))
    )


@pytest.mark.parametrize("values", [[2.5, 2.5], [2.5, [2.5, 2.5, 2.5]]])
def test_equal_values_are_one_number(builder, values):
    result = builder.per_element(values, [2, 3])

    assert type(result) is float
    assert result == 2.5


@pytest.mark.parametrize(
    "values", [[1.5, 2.0], [1.5, [2.0, 2.0, 2.0]], [[1.5, 1.5], [2.0, 2.0, 2.0]]]
)
def test_values_are_spread_over_elements(builder, values):
    result = builder.per_element(values, [2, 3])

    assert result.numpy().tolist() == [[1.5, 1.5, 2.0, 2.0, 2.0]]


def test_values_of_elements_keep_their_order(builder):
    result = builder.per_element([[1.0, 2.0], 3.0], [2, 1])

    assert result.numpy().tolist() == [[1.0, 2.0, 3.0]]


@pytest.mark.parametrize("values", [[1.0], [1.0, 2.0, 3.0], [[1.0, 2.0]]])
@pytest.mark.parametrize("sizes", [[2, 3], [2, 2, 2, 2]])
def test_each_operator_has_one_value(builder, values, sizes):
    with pytest.raises(ValueError, match="zip"):
        builder.per_element(values, sizes)
