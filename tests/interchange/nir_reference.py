"""The equations of NIR in NumPy, node by node and step by step.

Written from the definitions of NIR, without anything of the package: signals keep
their shapes, convolutions are sums over windows.
"""

import nir
import numpy as np


class Reference:
    """Steps through a graph without subgraphs.

    Parameters
    ----------
    graph : nir.NIRGraph
        The graph.
    waiting : set of (str, str)
        Edges that take a step.
    """

    def __init__(self, graph, waiting=(), dt=0.001, method="euler"):
        self.graph, self.waiting = graph, set(waiting)
        self.dt, self.method = dt, method
        self.state = {name: {} for name in graph.nodes}
        self.last = {}
        self.order = self._sorted()

    def _sorted(self):
        """Nodes after all whose output they need in the same step."""
        order, left = [], list(self.graph.nodes)
        delays = {n for n, v in self.graph.nodes.items() if self._is_late(v)}
        while left:
            for name in left:
                needs = [
                    a
                    for a, b in self.graph.edges
                    if b == name and (a, b) not in self.waiting and a not in delays
                ]
                if not set(needs) & (set(left) - delays) or name in delays:
                    break
            else:
                raise ValueError(f"a cycle among {left}")
            order.append(name)
            left.remove(name)
        # delays give what they got before, and take what is there in the end
        return [n for n in order if n in delays] + [n for n in order if n not in delays]

    def _is_late(self, node):
        """Whether the output does not depend on the input of the same step."""
        return isinstance(node, nir.Delay) and np.all(node.delay > self.dt / 2)

    def run(self, inputs):
        """Return the outputs, shapes ``(n_steps, *shape)``, by name."""
        n_steps = len(next(iter(inputs.values())))
        outputs = {
            n: [] for n, v in self.graph.nodes.items() if isinstance(v, nir.Output)
        }
        for step in range(n_steps):
            values = {}
            for name in self.order:
                node = self.graph.nodes[name]
                if isinstance(node, nir.Delay):
                    now = None if self._is_late(node) else self._sum(name, values)
                    values[name] = self._delayed(name, node, now)
                elif isinstance(node, nir.Input):
                    values[name] = inputs[name][step]
                else:
                    x = self._sum(name, values)
                    values[name] = getattr(self, type(node).__name__)(
                        node, x, self.state[name]
                    )
                if name in outputs:
                    outputs[name].append(values[name])
            for name, node in self.graph.nodes.items():
                if isinstance(node, nir.Delay):
                    self.state[name]["past"].append(self._sum(name, values))
            self.last = values
        return {name: np.array(found) for name, found in outputs.items()}

    def _sum(self, name, values):
        total = 0.0
        for a, b in self.graph.edges:
            if b == name:
                got = self.last.get(a, 0.0) if (a, b) in self.waiting else values[a]
                total = total + got
        return total

    def _delayed(self, name, node, now):
        past = [*self.state[name].setdefault("past", []), now]
        steps = np.round(np.asarray(node.delay) / self.dt).astype(int)
        found = np.zeros(steps.shape)
        for index in np.ndindex(*steps.shape):
            back = steps[index]
            if back < len(past):
                found[index] = np.broadcast_to(past[-1 - back], steps.shape)[index]
        return found

    def _factor(self, tau):
        ratio = self.dt / np.asarray(tau, np.float64)
        return ratio if self.method == "euler" else 1 - np.exp(-ratio)

    # nodes

    def Output(self, node, x, state):
        return np.broadcast_to(x, node.output_type["output"])

    def Affine(self, node, x, state):
        return node.weight @ np.broadcast_to(x, node.weight.shape[1]) + node.bias

    def Linear(self, node, x, state):
        return node.weight @ np.broadcast_to(x, node.weight.shape[1])

    def Scale(self, node, x, state):
        return node.scale * x

    def Flatten(self, node, x, state):
        return np.reshape(x, node.output_type["output"])

    def Threshold(self, node, x, state):
        return (x > node.threshold) * 1.0

    def _spikes(self, node, v, state):
        spikes = v > node.v_threshold
        state["v"] = np.where(spikes, node.v_reset, v)
        return spikes * 1.0

    def LIF(self, node, x, state):
        v = state.get("v", np.zeros(node.tau.shape))
        v = v + self._factor(node.tau) * ((node.v_leak - v) + node.r * x)
        return self._spikes(node, v, state)

    def IF(self, node, x, state):
        v = state.get("v", np.zeros(node.r.shape))
        return self._spikes(node, v + self.dt * node.r * x, state)

    def CubaLIF(self, node, x, state):
        current = state.get("i", np.zeros(node.r.shape))
        state["i"] = current + self._factor(node.tau_syn) * (node.w_in * x - current)
        v = state.get("v", np.zeros(node.r.shape))
        drive = (node.v_leak - v) + node.r * state["i"]
        return self._spikes(node, v + self._factor(node.tau_mem) * drive, state)

    def LI(self, node, x, state):
        v = state.get("v", np.zeros(node.r.shape))
        state["v"] = v + self._factor(node.tau) * ((node.v_leak - v) + node.r * x)
        return state["v"]

    def I(self, node, x, state):  # noqa: E743
        state["v"] = state.get("v", np.zeros(node.r.shape)) + self.dt * node.r * x
        return state["v"]

    def CubaLI(self, node, x, state):
        current = state.get("i", np.zeros(node.r.shape))
        state["i"] = current + self._factor(node.tau_syn) * (node.w_in * x - current)
        v = state.get("v", np.zeros(node.r.shape))
        drive = (node.v_leak - v) + node.r * state["i"]
        state["v"] = v + self._factor(node.tau_mem) * drive
        return state["v"]

    def _windows(self, x, sizes, stride, before, after, dilation):
        """Yield the index of each window in the output, and its values."""
        zeros = [(0, 0), *zip(before, after)]
        x = np.pad(x, zeros)
        spans = [d * (k - 1) + 1 for d, k in zip(dilation, sizes)]
        out = [(n - span) // s + 1 for n, span, s in zip(x.shape[1:], spans, stride)]
        for index in np.ndindex(*out):
            cut = [
                slice(i * s, i * s + span, d)
                for i, s, span, d in zip(index, stride, spans, dilation)
            ]
            yield tuple(out), index, x[(slice(None), *cut)]

    def Conv2d(self, node, x, state):
        n = node.weight.ndim - 2
        stride, dilation = (
            np.broadcast_to(value, (n,)) for value in (node.stride, node.dilation)
        )
        sizes = node.weight.shape[2:]
        if isinstance(node.padding, str):
            total = [
                d * (k - 1) if node.padding == "same" else 0
                for d, k in zip(dilation, sizes)
            ]
            before = [t // 2 for t in total]
            after = [t - b for t, b in zip(total, before)]
        else:
            before = after = np.broadcast_to(node.padding, (n,))
        found = None
        groups = int(node.groups)
        filters = np.split(node.weight, groups)
        for out, index, window in self._windows(
            x, sizes, stride, before, after, dilation
        ):
            if found is None:
                found = np.zeros((len(node.weight), *out))
            parts = np.split(window, groups)
            found[(slice(None), *index)] = np.concatenate(
                [np.tensordot(f, p, n + 1) for f, p in zip(filters, parts)]
            )
        return found + np.reshape(node.bias, (-1,) + (1,) * n)

    Conv1d = Conv2d

    def SumPool2d(self, node, x, state):
        found, padding = None, np.broadcast_to(node.padding, (2,))
        for out, index, window in self._windows(
            x,
            np.broadcast_to(node.kernel_size, (2,)),
            np.broadcast_to(node.stride, (2,)),
            padding,
            padding,
            (1, 1),
        ):
            if found is None:
                found = np.zeros((len(x), *out))
            found[(slice(None), *index)] = window.sum(axis=(1, 2))
        return found

    def AvgPool2d(self, node, x, state):
        sizes = np.broadcast_to(node.kernel_size, (2,))
        return self.SumPool2d(node, x, state) / np.prod(sizes)
