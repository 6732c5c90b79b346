"""The spiking perceptron ``mlp`` in libraries for PyTorch.

Neurons integrate and leak, without refractory time, and the output is not filtered:
less work than the problem asks for. The products with inputs of all steps are one.
"""

import math

import numpy as np
import torch

#: Time step, and membrane time constant (s).
_DT, _TAU_RC = 0.001, 0.02

#: Sharpness of the surrogate derivative of a spike, 1 / (1 + 5 |v - 1|)^2.
_SLOPE = 5.0


def norse(problem):
    """Train with Norse; see `TrainingWorker` for arguments and results."""
    import norse.torch as library

    cell = library.LIFBoxCell(
        library.LIFBoxParameters(
            tau_mem_inv=torch.tensor(1 / _TAU_RC),
            v_th=torch.tensor(1.0),
            alpha=torch.tensor(_SLOPE),
        ),
        dt=_DT,
    )

    def spikes(currents):
        state, result = None, []
        for current in currents:
            spike, state = cell(current, state)
            result.append(spike)
        return torch.stack(result)

    return _train(problem, spikes)


def snntorch(problem):
    """Train with snnTorch."""
    import snntorch as library
    from snntorch import surrogate

    beta = math.exp(-_DT / _TAU_RC)
    cell = library.Leaky(
        beta=beta,
        spike_grad=surrogate.fast_sigmoid(slope=_SLOPE),
        reset_mechanism="zero",
    )

    def spikes(currents):
        voltage, result = cell.init_leaky(), []
        for current in currents:
            spike, voltage = cell((1 - beta) * current, voltage)
            result.append(spike)
        return torch.stack(result)

    return _train(problem, spikes)


def spikingjelly(problem):
    """Train with SpikingJelly, all steps in one call."""
    from spikingjelly.activation_based import functional, neuron, surrogate

    cell = neuron.LIFNode(
        tau=_TAU_RC / _DT,
        v_threshold=1.0,
        surrogate_function=surrogate.SuperSpike(alpha=_SLOPE),
        step_mode="m",
    )

    def spikes(currents):
        functional.reset_net(cell)
        return cell(currents)

    return _train(problem, spikes)


def _train(problem, spikes):
    arrays = problem.arrays
    parameters = [
        torch.tensor(arrays[name]).requires_grad_()
        for name in ("w_in", "bias", "w_out")
    ]
    w_in, bias, w_out = parameters
    optimizer = torch.optim.Adam(parameters, 1e-3)
    labels = torch.from_numpy(arrays["labels"]).long()
    rng = np.random.RandomState(0)

    def loss_of(rows):
        inputs = torch.from_numpy(arrays["inputs"][rows])
        if problem.varying:
            currents = inputs.transpose(0, 1) @ w_in + bias
        else:
            currents = inputs[:, 0] @ w_in + bias
            currents = currents.expand(problem.n_steps, *currents.shape)
        outputs = (spikes(currents) @ w_out).mean(0)
        return torch.nn.functional.cross_entropy(outputs, labels[rows])

    def train(n_minibatches):
        order = rng.permutation(n_minibatches * problem.minibatch)
        losses = []
        for rows in order.reshape(n_minibatches, problem.minibatch):
            loss = loss_of(rows)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses[0]

    return train, sum(value.numel() for value in parameters)
