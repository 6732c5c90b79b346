"""A simulator in one line, and what notebooks show of it."""

import nengo
import pytest

import nengo_dl


def make_net(with_callback=False, **arguments):
    with nengo.Network(seed=0, **arguments) as net:
        ens = nengo.Ensemble(20, 1, label="ens")
        net.probe = nengo.Probe(ens, label="decoded")
        if with_callback:
            node = nengo.Node(lambda t, x: x, size_in=1, label="controller")
            nengo.Connection(ens, node)
    return net


def test_repr_tells_network_neurons_and_steps():
    with nengo_dl.Simulator(
        make_net(label="vision"), minibatch_size=3, progress_bar=False
    ) as sim:
        sim.run_steps(2)
        shown = repr(sim)
    assert "\n" not in shown
    assert "network 'vision': 20 neurons in 1 ensemble" in shown
    assert "2 steps of 1 ms done for 3 items" in shown
    assert repr(sim).endswith("closed>")


def test_repr_tells_before_and_after_compiling():
    with nengo_dl.Simulator(make_net(), jit_compile=True, progress_bar=False) as sim:
        assert "a network: 20 neurons" in repr(sim)
        assert repr(sim).endswith("compiles when first run>")
        sim.run_steps(3)
        assert repr(sim).endswith("compiled>")


@pytest.mark.parametrize(
    "jit_compile, start",
    [(None, "runs with NumPy"), (True, "compiles in parts when first run")],
)
def test_repr_tells_what_is_not_compiled(jit_compile, start):
    net = make_net(with_callback=True)
    with nengo_dl.Simulator(net, jit_compile=jit_compile, progress_bar=False) as sim:
        execution = repr(sim).rpartition("; ")[2]
        assert execution.startswith(start)
        assert execution.endswith(": Node 'controller' calls Python in each step>")


def test_repr_of_a_subclass_that_failed_says_so():
    class Broken(nengo_dl.Simulator):
        def __init__(self):
            pass

        def __del__(self):
            pass

    assert repr(Broken()) == "<Simulator that was not built>"
    assert "not built" in Broken()._repr_html_()


def test_repr_of_a_model_without_network():
    model = nengo.builder.Model()
    model.add_op(nengo.builder.operator.Reset(nengo.builder.Signal([1.0])))
    with nengo_dl.Simulator(None, model=model, progress_bar=False) as sim:
        assert repr(sim).startswith("<Simulator of a model: 2 operators; 0 steps")


def test_notebooks_show_tables():
    with nengo_dl.Simulator(make_net(label="<vision>"), progress_bar=False) as sim:
        sim.run_steps(2)
        shown = sim._repr_html_()
        data = sim.data._repr_html_()
    assert "&lt;vision&gt;" in shown and "<table>" in shown
    assert "decoded" in data and "2 x 1" in data
