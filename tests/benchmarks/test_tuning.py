"""The numbers that decide between ways to compute the same, measured again."""

import pytest

import nengo_dl
from nengo_dl.benchmarks import tuning as measurements
from nengo_dl.benchmarks.command_line import main
from nengo_dl.benchmarks.networks import NETWORKS
from nengo_dl.support import tuning


def test_measured_numbers_are_those_in_use():
    for name in (*measurements.COSTS, *measurements.CHOICES):
        assert name in tuning.__all__
    for name, (networks, values) in measurements.CHOICES.items():
        assert getattr(tuning, name) in values
        assert set(networks) <= set(NETWORKS)


@pytest.mark.parametrize("name", measurements.COSTS)
def test_costs_are_of_the_size_that_is_in_use(name):
    measured = measurements.COSTS[name](1)
    # a busy machine takes longer
    assert getattr(tuning, name) / 20 < measured < 50 * getattr(tuning, name)


def test_a_choice_is_measured_and_put_back(capsys):
    before = tuning.in_use()
    assert main(["tuning", "SMALL_STATE", "--values", "0", "64", "--steps", "20"]) == 0
    assert tuning.in_use() == before
    title, headings, row = capsys.readouterr().out.strip().splitlines()
    assert title.startswith("µs per step, by SMALL_STATE")
    assert headings.split() == ["network", "0", "64*"]
    assert row.split()[0] == "integrator" and float(row.split()[2]) > 0


def test_unknown_numbers_are_refused(capsys):
    with pytest.raises(SystemExit):
        main(["tuning", "LUCK"])
    assert "there is no number 'LUCK'; choose from" in capsys.readouterr().err


def test_programs_made_with_other_numbers_are_not_shared(monkeypatch):
    net = NETWORKS["integrator"].build(n_neurons=20)

    def simulate():
        with nengo_dl.Simulator(net, jit_compile=True, progress_bar=False) as sim:
            sim.run_steps(5)

    simulate()
    hits = nengo_dl.programs.hits
    simulate()
    assert nengo_dl.programs.hits == hits + 1
    monkeypatch.setattr(tuning, "SMALL_STATE", 0)
    simulate()
    assert nengo_dl.programs.hits == hits + 1
