"""What progress bars leave on a terminal, and which one is chosen."""

import io
import re
import sys
import time

import nengo
import numpy as np
import pytest
from nengo.utils import progress as core
from nengo.utils.progress import AutoProgressBar, Progress, ProgressTracker

import nengo_dl
from nengo_dl.support import progress as own
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


def test_notebooks_show_the_bar_of_nengo(monkeypatch):
    class Shell:
        kernel = object()

    monkeypatch.setattr(own, "get_ipython", Shell)
    monkeypatch.setattr(core, "get_ipython", Shell)
    monkeypatch.setattr(core, "display", lambda *shown, **how: None, raising=False)
    monkeypatch.setattr(core, "check_ipy_version", lambda version: True)
    shown = track(True, "a", "b").progress_bar
    assert isinstance(shown, AutoProgressBar)
    assert isinstance(shown.delegate, core.IPython5ProgressBar)
    monkeypatch.setattr(own, "get_ipython", lambda: None)
    assert isinstance(track(True, "a", "b").progress_bar.delegate, TextProgressBar)
