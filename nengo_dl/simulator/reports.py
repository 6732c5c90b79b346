"""Reports: what became of a network, how its neurons fired, what that costs."""

from __future__ import annotations

import html
from collections.abc import Iterable

import nengo

from nengo_dl.inspection.activity import Activity
from nengo_dl.inspection.in_short import InShort, in_short
from nengo_dl.inspection.measured_activity import measure_activity
from nengo_dl.inspection.measured_rates import measure_rates
from nengo_dl.inspection.spike_rates import SpikeRates
from nengo_dl.inspection.summary import Summary, summarize
from nengo_dl.simulator.base import SimulatorBase
from nengo_dl.support.errors import errors_of_self

__all__ = ["ReportsFace"]


class ReportsFace(SimulatorBase):
    """Methods that describe the simulation."""

    def _in_short(self) -> InShort:
        return in_short(
            self._session,
            self.model,
            self._parameters,
            self.n_steps,
            self.minibatch_size,
            self.closed,
        )

    def __repr__(self) -> str:
        if getattr(self, "_parameters", None) is None:
            return "<Simulator that was not built>"
        return str(self._in_short())

    def _repr_html_(self) -> str:
        if getattr(self, "_parameters", None) is None:
            return html.escape(repr(self))
        return self._in_short().html()

    def summary(self) -> Summary:
        """Describe how the network is simulated; print the result to see tables.

        Returns
        -------
        Summary
            Numbers of objects and of operators after each pass, groups of operators,
            parameters and their sizes, time of compilation, and what prevents the loop
            from being compiled as a whole. Notebooks show it as HTML.

        Examples
        --------
        >>> with nengo.Network(seed=0) as net:
        ...     probe = nengo.Probe(nengo.Ensemble(10, 1))
        >>> with nengo_dl.Simulator(net, progress_bar=False) as sim:
        ...     text = str(sim.summary())
        """
        return summarize(self._session, self.model, self._parameters)

    @errors_of_self
    def spike_rates(
        self,
        ensembles: Iterable[nengo.Ensemble] | nengo.Ensemble | None = None,
        start: float = 0.0,
        saturation: float = 0.9,
    ) -> SpikeRates:
        """Compute the firing rates of neurons from the data of their probes.

        Parameters
        ----------
        ensembles : Ensemble or list of Ensemble, optional
            Which ensembles. Default: all with a probe of ``ens.neurons``.
        start : float
            Time to leave out at the beginning, in seconds.
        saturation : float
            A neuron is saturated if its rate is at least this fraction of the largest
            possible rate (the inverse of the refractory period).

        Returns
        -------
        SpikeRates
            For each ensemble, the rates, and which neurons were dead (silent all the
            time, for all items of a minibatch) or saturated. Print it for a table;
            ``plot()`` draws histograms.

        Raises
        ------
        ValidationError
            If no neurons are probed, or nothing was recorded.

        Examples
        --------
        >>> with nengo.Network(seed=0) as net:
        ...     ensemble = nengo.Ensemble(10, 1, label="ens")
        ...     _ = nengo.Probe(ensemble.neurons)
        >>> with nengo_dl.Simulator(net, progress_bar=False) as sim:
        ...     sim.run(0.1)
        ...     rates = sim.spike_rates()
        >>> print(rates)
        Firing rates in Hz, over 0.1 s
          ensemble  neurons  mean  median  largest     dead  saturated
          ens            10  65.0     0.0    240.0  6 (60%)     0 (0%)
        """
        return measure_rates(
            self.model, self._histories, self.n_steps, ensembles, start, saturation
        )

    @errors_of_self
    def activity(
        self, start: float = 0.0, inference_steps: int | None = None
    ) -> Activity:
        """Count synaptic operations and spikes, and estimate the energy they take.

        Parameters
        ----------
        start : float
            Time to leave out at the beginning, in seconds.
        inference_steps : int, optional
            Number of steps of an inference, such as the presentation of an image.
            Default: each item of the minibatch is one inference, with all steps after
            ``start``.

        Returns
        -------
        Activity
            Print it for tables; ``plot()`` draws bars, ``to_dict()`` has all numbers.

        Raises
        ------
        ValidationError
            If nothing was recorded in that time, or an argument is invalid.

        Notes
        -----
        Operations are counted as by NeuroBench [1]_: a product of an input and a weight
        is *effective* if neither is zero. If inputs are spikes, which all have the same
        value, it is an accumulate (AC), otherwise a multiply-accumulate (MAC). *Dense*
        counts all products. Biases, synaptic filters, pooling and normalization are not
        counted.

        Probes without synapse show which inputs are zero. Add them before you make the
        simulator: ``nengo.Probe(ens.neurons)`` for neurons, ``nengo.Probe(node)`` for
        Nodes, and ``nengo.Probe(ens, "input", synapse=None)`` for the inputs of
        encoders. Nodes and encoders without a probe are assumed to be never zero.
        Connections from neurons without a probe are left out, and listed.

        References
        ----------
        .. [1] J. Yik et al., The NeuroBench framework for benchmarking neuromorphic
           computing algorithms and systems, Nature Communications 16, 2025, 1545.

        Examples
        --------
        >>> with nengo.Network(seed=0) as net:
        ...     ensemble = nengo.Ensemble(10, 1, label="ens")
        ...     output = nengo.Node(size_in=2, label="output")
        ...     _ = nengo.Connection(
        ...         ensemble.neurons, output, transform=np.ones((2, 10)))
        ...     _ = nengo.Probe(ensemble.neurons)
        >>> with nengo_dl.Simulator(net, progress_bar=False) as sim:
        ...     sim.run(0.1)
        ...     activity = sim.activity()
        >>> round(activity.effective_acs / activity.spikes)  # 2 sums take each
        2
        >>> activity.dense  # 10 neurons, 2 sums, 100 steps
        2000.0
        """
        return measure_activity(
            self._parameters, self._histories, self.n_steps, start, inference_steps
        )
