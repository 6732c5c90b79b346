"""Populations of LIF neurons, and the weights between them, of a Nengo network."""

from collections import namedtuple

import nengo
import numpy as np
from nengo.builder import Model

#: LIF neurons.
#:
#: ensemble : nengo.Ensemble
#: bias, voltage : ndarray, shapes (n_neurons,)
#:     Constant input current, and membrane voltage at the beginning.
Population = namedtuple("Population", ["ensemble", "bias", "voltage"])

#: Weights between neurons.
#:
#: pre, post : nengo.Ensemble
#: rows, columns : ndarray of int, shapes (n_weights,)
#:     Indices of the neurons behind and before each synapse.
#: weights : ndarray, shape (n_weights,)
#:     What a spike adds to the current that a lowpass filter passes on.
Projection = namedtuple("Projection", ["pre", "post", "rows", "columns", "weights"])

#: What simulators of spiking neurons need to know.
#:
#: populations, projections : list
#: tau_rc, tau_ref, tau : float
#:     Time constants (s) of all neurons and of all synapses.
LIFNetwork = namedtuple(
    "LIFNetwork", ["populations", "projections", "tau_rc", "tau_ref", "tau"]
)


def read_network(network, dt):
    """Return what a network consists of.

    Parameters
    ----------
    network : nengo.Network
        Ensembles of LIF neurons with equal time constants, connections from neurons to
        neurons with equal lowpass filters, and probes of spikes.
    dt : float
        Time step (s).

    Returns
    -------
    LIFNetwork
        Its contents.

    Raises
    ------
    NotImplementedError
        If there is anything else in it.
    """
    model = Model(dt=dt)
    model.build(network)
    types, filters = set(), set()
    populations = []
    for ens in network.all_ensembles:
        if type(ens.neuron_type) is not nengo.LIF or ens.neuron_type.amplitude != 1:
            raise NotImplementedError(f"{ens}: expected LIF neurons")
        types.add((ens.neuron_type.tau_rc, ens.neuron_type.tau_ref))
        voltage = model.sig[ens.neurons]["voltage"].initial_value
        populations.append(
            Population(ens, np.array(model.params[ens].bias), np.array(voltage))
        )
    projections = []
    for conn in network.all_connections:
        ends = conn.pre_obj, conn.post_obj
        is_plain = all(isinstance(end, nengo.ensemble.Neurons) for end in ends)
        if not is_plain or not isinstance(conn.synapse, nengo.Lowpass):
            raise NotImplementedError(f"{conn}: expected neurons to neurons")
        if conn.learning_rule_type is not None:
            raise NotImplementedError(f"{conn}: learning rules")
        filters.add(conn.synapse.tau)
        weights = model.params[conn].weights
        weights = weights.toarray() if hasattr(weights, "toarray") else weights
        full = np.zeros((ends[1].size_in, ends[0].size_out))
        into = np.arange(len(full))[conn.post_slice]
        out_of = np.arange(full.shape[1])[conn.pre_slice]
        full[np.ix_(into, out_of)] = weights
        rows, columns = np.nonzero(full)
        projections.append(
            Projection(
                ends[0].ensemble, ends[1].ensemble, rows, columns, full[rows, columns]
            )
        )
    if len(types) != 1 or len(filters) > 1 or network.all_nodes:
        raise NotImplementedError("Expected equal neurons, equal filters, and no nodes")
    for probe in network.all_probes:
        if not isinstance(probe.obj, nengo.ensemble.Neurons):
            raise NotImplementedError(f"{probe}: expected neurons")
    ((tau_rc, tau_ref),) = types
    return LIFNetwork(
        populations, projections, tau_rc, tau_ref, min(filters, default=0.005)
    )


def probe_data(probe, senders, steps, n_steps, dt):
    """Return what a probe recorded.

    Parameters
    ----------
    probe : nengo.Probe
        Of neurons.
    senders, steps : ndarray of int, shapes (n_spikes,)
        Which neuron of the ensemble fired in which step, from 0.
    n_steps : int
        Number of steps.
    dt : float
        Time step (s).

    Returns
    -------
    ndarray, shape (n_steps, probe.size_in)
        Filtered spikes (Hz).
    """
    spikes = np.zeros((n_steps, probe.obj.size_out))
    spikes[steps, senders] = 1 / dt
    spikes = spikes[:, probe.slice]
    if probe.synapse is None:
        return spikes
    return probe.synapse.filt(spikes, dt=dt, y0=0)
