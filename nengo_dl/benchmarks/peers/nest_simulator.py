"""Networks of LIF neurons in NEST."""

import nest
import numpy as np
from lif_networks import probe_data, read_network

__version__ = nest.__version__


class Simulator:
    """Simulates a Nengo network of LIF neurons, see `lif_networks`.

    Neurons are integrated exactly, in double precision. Spikes arrive one step late:
    NEST has no shorter delays.

    Parameters
    ----------
    network : nengo.Network
        What to simulate.
    dt : float
        Time step (s).
    threads : int
        Number of threads.
    """

    def __init__(self, network, dt=0.001, threads=1):
        self.dt = dt
        self.n_steps = 0
        contents = read_network(network, dt)
        nest.set_verbosity("M_ERROR")
        nest.ResetKernel()
        nest.resolution = 1000 * dt
        nest.local_num_threads = threads
        # with C_m = tau_m, input currents are in units of the voltage
        tau_m, tau_syn = 1000 * contents.tau_rc, 1000 * contents.tau
        self.neurons = {}
        for population in contents.populations:
            self.neurons[population.ensemble] = neurons = nest.Create(
                "iaf_psc_exp",
                len(population.bias),
                params={
                    "C_m": tau_m,
                    "tau_m": tau_m,
                    "E_L": 0.0,
                    "V_reset": 0.0,
                    "V_th": 1.0,
                    "t_ref": 1000 * contents.tau_ref,
                    "tau_syn_ex": tau_syn,
                    "tau_syn_in": tau_syn,
                },
            )
            neurons.I_e = population.bias
            neurons.V_m = population.voltage
        for projection in contents.projections:
            pre, post = self.neurons[projection.pre], self.neurons[projection.post]
            nest.Connect(
                projection.columns + pre[0].global_id,
                projection.rows + post[0].global_id,
                conn_spec="one_to_one",
                syn_spec={
                    "weight": projection.weights / contents.tau,
                    "delay": np.full(len(projection.rows), 1000 * dt),
                },
            )
        self.recorders = {}
        for probe in network.all_probes:
            self.recorders[probe] = recorder = nest.Create("spike_recorder")
            nest.Connect(self.neurons[probe.obj.ensemble][probe.slice], recorder)
        nest.Prepare()

    def run_steps(self, n_steps):
        """Simulate some steps."""
        nest.Run(1000 * self.dt * n_steps)
        self.n_steps += n_steps

    @property
    def data(self):
        """What probes recorded since the beginning, by probe."""
        result = {}
        for probe, recorder in self.recorders.items():
            events = recorder.get("events")
            first = self.neurons[probe.obj.ensemble][0].global_id
            steps = np.round(events["times"] / (1000 * self.dt)).astype(int) - 1
            seen = steps < self.n_steps
            result[probe] = probe_data(
                probe,
                events["senders"][seen] - first,
                steps[seen],
                self.n_steps,
                self.dt,
            )
        return result

    def close(self):
        """Free what NEST holds."""
        nest.Cleanup()
        nest.ResetKernel()
