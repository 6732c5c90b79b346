"""The model of a simulator tries operators at once if Nengo is told to."""

import nengo
import pytest
from nengo.builder.operator import Operator

from nengo_dl.building.model import FastModel


class Failing(Operator):
    """Cannot make a step."""

    def __init__(self):
        super().__init__()
        self.sets, self.incs, self.reads, self.updates = [], [], [], []

    def make_step(self, signals, dt, rng):
        raise ValueError("no step")


@pytest.fixture(params=["False", "True"])
def fail_fast(request):
    section = nengo.rc["nengo.Simulator"]
    before = section["fail_fast"]
    section["fail_fast"] = request.param
    yield request.param == "True"
    section["fail_fast"] = before


def test_operators_are_tried_when_nengo_is_told_to_fail_fast(fail_fast):
    model = FastModel(dt=0.002)
    op = Failing()
    if fail_fast:
        with pytest.raises(ValueError, match="no step"):
            model.add_op(op)
    else:
        model.add_op(op)
    assert model.operators[-1] is op and model.dt == 0.002
