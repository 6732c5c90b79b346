"""Networks of LIF neurons as programs in C++, by Brian2."""

import shutil
import tempfile

import brian2
import numpy as np
from lif_networks import probe_data, read_network

__version__ = brian2.__version__

_EQUATIONS = """
dv/dt = (bias + current - v) / tau_rc : 1 (unless refractory)
dcurrent/dt = -current / tau : 1
bias : 1 (constant)
"""


class Simulator:
    """Simulates a Nengo network of LIF neurons, see `lif_networks`.

    Neurons are integrated exactly. The number of steps is part of a program: a new one
    is compiled for each number of steps, and each run starts at the beginning, in a
    process of its own. Runs of some seconds (``--seconds 3``) make the start of that
    process negligible.

    Parameters
    ----------
    network : nengo.Network
        What to simulate.
    dt : float
        Time step (s).
    threads : int
        Number of threads (0: no OpenMP).
    dtype : {"float64", "float32"}
        Precision.
    """

    def __init__(self, network, dt=0.001, threads=0, dtype="float64"):
        self.dt = dt
        self.dtype = dtype
        self.threads = threads
        self.probes = network.all_probes
        self.contents = read_network(network, dt)
        self.folder = None
        self.monitors = {}
        self.n_steps = 0

    def run_steps(self, n_steps):
        """Simulate some steps from the beginning."""
        if self.folder is None or n_steps != self.n_steps:
            self._compile(n_steps)
        brian2.device.run(self.folder, with_output=False, run_args=[])
        self.n_steps = n_steps

    def _compile(self, n_steps):
        preferences = brian2.prefs
        preferences["core.default_float_dtype"] = np.dtype(self.dtype).type
        preferences["devices.cpp_standalone.openmp_threads"] = self.threads
        preferences["codegen.cpp.extra_compile_args_gcc"] = [
            "-w", "-O3", "-ffast-math", "-march=native", "-std=c++17",
        ]  # fmt: skip
        if self.folder is not None:
            self.close()
            brian2.device.reinit()
            brian2.device.activate()
        self.folder = tempfile.mkdtemp()
        brian2.set_device("cpp_standalone", directory=self.folder, build_on_run=False)
        brian2.defaultclock.dt = self.dt * brian2.second
        net = brian2.Network()
        contents = self.contents
        times = {
            "tau_rc": contents.tau_rc * brian2.second,
            "tau": contents.tau * brian2.second,
        }
        groups = {}
        for population in contents.populations:
            groups[population.ensemble] = group = brian2.NeuronGroup(
                len(population.bias),
                _EQUATIONS,
                threshold="v > 1",
                reset="v = 0",
                refractory=contents.tau_ref * brian2.second,
                method="exact",
                namespace=times,
            )
            group.bias = population.bias
            group.v = population.voltage
            net.add(group)
        for projection in contents.projections:
            synapses = brian2.Synapses(
                groups[projection.pre],
                groups[projection.post],
                "weight : 1 (constant)",
                on_pre="current_post += weight",
            )
            synapses.connect(i=projection.columns, j=projection.rows)
            synapses.weight = projection.weights / contents.tau
            net.add(synapses)
        for probe in self.probes:
            monitor = brian2.SpikeMonitor(groups[probe.obj.ensemble])
            self.monitors[probe] = monitor
            net.add(monitor)
        net.run(n_steps * self.dt * brian2.second, namespace={})
        brian2.device.build(directory=self.folder, run=False)

    @property
    def data(self):
        """What probes recorded in the last run, by probe."""
        result = {}
        for probe, monitor in self.monitors.items():
            steps = np.round(np.asarray(monitor.t / brian2.second) / self.dt).astype(
                int
            )
            result[probe] = probe_data(
                probe, np.asarray(monitor.i), steps, self.n_steps, self.dt
            )
        return result

    def close(self):
        """Remove the program."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
