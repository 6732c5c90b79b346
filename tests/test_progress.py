"""What progress bars leave on a terminal, and which one is chosen."""

import io
import re
import sys
import time
from types import SimpleNamespace

import nengo
import numpy as np
import pytest
from nengo.utils.progress import AutoProgressBar, Progress, ProgressTracker

import nengo_dl
from nengo_dl.support import progress as own
from nengo_dl.support.notebook_progress import NotebookProgressBar
from nengo_dl.support.progress import TextProgressBar, track


class Terminal(io.StringIO):
    """Standard output as a terminal would show it."""

    def isatty(self):
        return True

    @property
    def lines(self):
        """The lines on the screen, each as it was drawn last."""
        found = []
        for line in self.getvalue().split("\n"):
            shown = ""
            for part in line.split("\r"):
                shown = part + shown[len(part) :]
            found.append(shown.rstrip())
        return [line for line in found if line]


@pytest.fixture
def terminal():
    return Terminal()


def test_lines_are_drawn_without_colours_and_end_with_the_time(terminal, monkeypatch):
    monkeypatch.setattr(sys, "stdout", terminal)
    bar = TextProgressBar()
    with Progress("Simulating", "Simulation", 10) as progress:
        for _ in range(10):
            bar.update(progress)
            progress.step()
    progress.time_start, progress.time_end = 0.0, 13.4
    bar.update(progress)
    bar.close()
    assert "\x1b" not in terminal.getvalue()
    (line,) = terminal.lines
    assert re.fullmatch(r"Simulating +100% \|#+\| Time 0:00:13", line)


def test_a_stage_that_went_well_ends_at_100_percent(terminal, monkeypatch):
    monkeypatch.setattr(sys, "stdout", terminal)
    bar = TextProgressBar()
    total = Progress("Building", "Build")
    with total:
        with Progress("Building", "Build", 50) as stage:
            stage.step(33)
            bar.update(stage)
        with Progress("Compiling", "Compilation", 2) as following:
            bar.update(following)  # as of a thread that looks now and then
    bar.update(total)
    bar.close()
    assert "100%" in terminal.lines[0]
    assert re.match(r"Compiling +100%", terminal.lines[1])


def test_a_stage_that_failed_ends_where_it_was(terminal, monkeypatch):
    monkeypatch.setattr(sys, "stdout", terminal)
    bar = TextProgressBar()
    with pytest.raises(ZeroDivisionError), Progress("Building", "", 50) as stage:
        stage.step(33)
        bar.update(stage)
        _ = 1 / 0
    bar.update(stage)
    bar.close()
    assert "66%" in terminal.lines[0] and "100%" not in terminal.lines[0]


def test_estimates_leave_out_what_comes_before_the_first_step(terminal, monkeypatch):
    monkeypatch.setattr(sys, "stdout", terminal)
    now = [1000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    bar = TextProgressBar()
    with Progress("Training", "Training", 100) as progress:
        bar.update(progress)
        assert "ETA -:--:--" in terminal.lines[-1]
        now[0] += 60  # of compiling
        progress.step()
        bar.update(progress)
        assert "ETA -:--:--" in terminal.lines[-1]
        now[0] += 1
        progress.step(9)
        bar.update(progress)
        assert "ETA 0:00:10" in terminal.lines[-1]
    bar.close()


def test_what_nodes_print_appears_above_the_bar(terminal, monkeypatch):
    monkeypatch.setattr(sys, "stdout", terminal)
    bar = TextProgressBar()
    progress = Progress("Simulating", "Simulation", 4)
    with ProgressTracker(bar, progress, update_interval=1e-3):
        bar.update(progress)
        for number in range(4):
            print("step", end=" ")
            print(number)
            progress.step()
            time.sleep(0.01)
    print("after", end="")
    assert sys.stdout is terminal
    *lines, last, after = terminal.lines
    assert lines == [f"step {number}" for number in range(4)]
    assert last.startswith("Simulating") and "100%" in last
    assert after == "after"


def test_lines_without_an_end_are_not_lost(terminal, monkeypatch):
    monkeypatch.setattr(sys, "stdout", terminal)
    bar = TextProgressBar()
    with Progress("Simulating", "Simulation", 4) as progress:
        bar.update(progress)
        print("no end", end="")
        sys.stdout.flush()
        bar.update(progress)
    bar.update(progress)
    bar.close()
    assert terminal.lines[-1].endswith("no end")


def test_simulators_leave_standard_output_as_it_was(terminal, monkeypatch):
    monkeypatch.setattr(sys, "stdout", terminal)

    def say(t):
        time.sleep(0.02)
        print(f"t = {t:.3f}")
        return t

    with nengo.Network() as net:
        probe = nengo.Probe(nengo.Node(say))
    with nengo_dl.Simulator(net, progress_bar=TextProgressBar()) as sim:
        sim.run_steps(5)
    assert sys.stdout is terminal
    np.testing.assert_allclose(sim.data[probe].ravel(), 0.001 * np.arange(1, 6))
    said = [line for line in terminal.lines if line.startswith("t = ")]
    assert said[-5:] == [f"t = 0.00{n}" for n in range(1, 6)]


class Shell:
    """IPython in the kernel of a notebook."""

    kernel = object()


def test_notebooks_get_a_bar_of_their_own(monkeypatch):
    monkeypatch.setattr(own, "get_ipython", Shell)
    shown = track(True, "a", "b").progress_bar
    assert isinstance(shown, AutoProgressBar)
    assert isinstance(shown.delegate, NotebookProgressBar)
    monkeypatch.setattr(own, "get_ipython", lambda: None)
    assert isinstance(track(True, "a", "b").progress_bar.delegate, TextProgressBar)


class Cell:
    """The output of a notebook's cell, as `IPython.display.display` changes it."""

    def __init__(self):
        self.outputs = []

    def display(self, shown, raw, display_id):
        assert raw and display_id
        self.outputs.append([shown])
        states = self.outputs[-1]
        return SimpleNamespace(update=lambda shown, raw: states.append(shown))


@pytest.fixture
def cell(monkeypatch):
    cell = Cell()
    monkeypatch.setattr(pytest.importorskip("IPython.display"), "display", cell.display)
    return cell


def test_notebook_bar_is_one_output_that_ends_as_a_line(cell, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    bar = NotebookProgressBar()
    with Progress("Simulating <net>", "Simulation", 100) as progress:
        bar.update(progress)
        now[0] += 60  # of compiling
        progress.step()
        bar.update(progress)
        now[0] += 1
        progress.step(9)
        bar.update(progress)
    bar.update(progress)
    (states,) = cell.outputs
    assert [state["text/plain"] for state in states] == [
        "Simulating <net> 0%",
        "Simulating <net> 1%",
        "Simulating <net> 10%, 0:00:10 left",
        "Simulation finished in 0:01:01.",
    ]
    assert 'value="0.1000"' in states[2]["text/html"]
    assert "&lt;net&gt;" in states[2]["text/html"]
    assert "<progress" not in states[-1]["text/html"]
    assert not any("<script" in state["text/html"] for state in states)


def test_notebook_bar_says_what_failed(cell):
    bar = NotebookProgressBar()
    with pytest.raises(ZeroDivisionError), Progress("Building", "Build") as progress:
        bar.update(progress)
        _ = 1 / 0
    bar.update(progress)
    (states,) = cell.outputs
    assert "value" not in states[0]["text/html"]  # moves to and fro
    assert states[-1]["text/plain"] == "Building ended after 0:00:00."


def test_simulator_in_a_notebook_has_one_output_for_each_run(cell):
    with nengo.Network(seed=0) as net:
        nengo.Probe(nengo.Node(lambda t: t))
    with nengo_dl.Simulator(net, progress_bar=NotebookProgressBar()) as sim:
        sim.run_steps(5, progress_bar=NotebookProgressBar())
    build, run = cell.outputs
    assert build[-1]["text/plain"].startswith("Build finished in")
    assert run[-1]["text/plain"].startswith("Simulation finished in")
