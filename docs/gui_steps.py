"""Compare single steps of the sample models of Nengo GUI with those of Nengo.

``python docs/gui_steps.py [NAME ...]``, where ``nengo-gui`` is installed. Measured is
processor time, with both simulators in turns; without a name, all samples are measured,
which takes some minutes. The plots of the GUI are left out: they cost the same with
either simulator.
"""

import argparse
import runpy
import statistics
import time
import warnings
from pathlib import Path

import nengo
import nengo_gui

import nengo_dl

SAMPLES = Path(nengo_gui.__file__).parent / "examples"


def seconds_per_step(simulator, n_steps):
    """Return the processor time of a step, in seconds."""
    start = time.process_time()
    for _ in range(n_steps):
        simulator.step()
    return (time.process_time() - start) / n_steps


def ratio(network, n_steps=100, n_rounds=7):
    """Return how many times as long a step takes as with `nengo.Simulator`."""
    with (
        nengo.Simulator(network, progress_bar=False) as core,
        nengo_dl.Simulator(network, progress_bar=False) as ours,
    ):
        for simulator in (core, ours):
            seconds_per_step(simulator, 10)
        return statistics.median(
            seconds_per_step(ours, n_steps) / seconds_per_step(core, n_steps)
            for _ in range(n_rounds)
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="parts of the paths of samples")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    ratios = []
    for path in sorted(SAMPLES.rglob("*.py")):
        name = path.relative_to(SAMPLES).with_suffix("").as_posix()
        if args.names and not any(part in name for part in args.names):
            continue
        try:
            model = runpy.run_path(str(path)).get("model")
        except AttributeError as error:  # a sample for an older Nengo
            print(f"{name:55s} {error}")
            continue
        if isinstance(model, nengo.Network):
            ratios.append(ratio(model))
            print(f"{name:55s} {ratios[-1]:5.2f}", flush=True)
    print(
        f"{len(ratios)} models: {sum(r <= 0.9 for r in ratios)} up to 0.9 times as "
        f"long, {sum(0.9 < r <= 1.15 for r in ratios)} up to 1.15 times as long, "
        f"{sum(r > 1.15 for r in ratios)} longer"
    )


if __name__ == "__main__":
    main()
