"""Writing networks for other runtimes."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

import nengo

from nengo_dl.simulator.base import SimulatorBase

if TYPE_CHECKING:
    from nengo_dl.exporting.interface import Export

__all__ = ["ExportingFace"]


class ExportingFace(SimulatorBase):
    """The method that writes files which run without Nengo."""

    def export(
        self,
        path: str | os.PathLike,
        format: str = "tf_saved_model",
        function: str | None = None,
        n_steps: int | None = None,
        inputs: Iterable[nengo.Node] | nengo.Node | None = None,
        state: str = "initial",
        jit_compile: bool = False,
    ) -> Export:
        """Write the network, with its parameters, for runtimes without Nengo.

        Parameters
        ----------
        path : str or os.PathLike
            File to be made, or folder for a SavedModel. Nothing may be there yet.
        format : str
            ``"tf_saved_model"`` for TensorFlow; ``"onnx"`` for runtimes of ONNX, which
            takes the packages ``onnx`` and ``tf2onnx``; ``"litert"`` for LiteRT, which
            was called TensorFlow Lite.
        function : "step" or "run" or None
            What to write: one time step, or a loop over steps. None: both, but ONNX
            files have one function: the step.
        n_steps : int, optional
            Number of steps of ``"run"``. Default: any, as many as the inputs have.
        inputs : Node or list of Node, optional
            Which Nodes are inputs. Those left out keep their values, which must be
            constant. Default: all that can be fed and have an influence.
        state : "initial" or "current"
            With which state the file begins: that of a simulation at time 0, with the
            weights that learning rules have learned, or that of now.
        jit_compile : bool
            Whether TensorFlow is to compile a SavedModel with XLA. It then runs faster,
            but only where TensorFlow has XLA.

        Returns
        -------
        Export
            Names, shapes and meanings of inputs, outputs and state; print it.

        Raises
        ------
        SimulatorClosed
            If the simulator was closed.
        ValidationError
            If an argument is wrong, something is at the path already, or the network
            cannot be exported: it calls Python in each step (the message says what
            does), or uses operations that the format lacks.
        ImportError
            If a package is missing.
        OSError
            If the file cannot be written. Nothing is left of it then.

        Notes
        -----
        A step takes inputs of shape ``(minibatch, size)``, and the state; it returns
        outputs and the state after it, whose names begin with ``next_``. A run takes
        inputs of shape ``(minibatch, n_steps, size)``, and returns outputs for all of
        the steps. The size of the minibatch is that of the simulator, 1 without
        minibatches; types are those of the simulator's ``dtype``. Inputs are called
        like Nodes, outputs like Probes: labels, with what is not a letter, digit or
        underscore replaced, and numbers where they are not unique. Outputs have values
        for each step, whatever ``sample_every`` says.

        The state contains all that changes: voltages, filters, weights that learning
        rules change, streams of random numbers in TensorNodes and, if a TensorNode
        takes the time, the number of steps. Where to begin is in the file: SavedModels
        and LiteRT have a function ``initial_state``; in ONNX, the state is an optional
        input.

        What the simulator makes in Python ahead of the steps has to be fed: the values
        of functions of time, of processes, of noise, of functions on connections from
        Nodes, and random numbers of stochastic neurons. Such inputs are listed with
        what to feed; nothing random is written into the file.

        Examples
        --------
        >>> import tempfile
        >>> with nengo.Network(seed=0) as net:
        ...     stimulus = nengo.Node([0.0], label="stimulus")
        ...     ensemble = nengo.Ensemble(10, 1)
        ...     _ = nengo.Connection(stimulus, ensemble)
        ...     probe = nengo.Probe(ensemble, label="decoded")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with nengo_dl.Simulator(net, progress_bar=False) as sim:
        ...         export = sim.export(f"{folder}/model")
        ...     model = tf.saved_model.load(f"{folder}/model")
        >>> inputs = {"stimulus": np.ones((1, 5, 1), "float32")}
        >>> model.simulate(inputs)["decoded"].shape
        TensorShape([1, 5, 1])
        """
        # few programs export: the others start sooner without it
        from nengo_dl.exporting.export import export_network

        with self._doing("export"):
            return export_network(
                self._session,
                self.model,
                self._input_signals,
                path,
                format,
                function,
                n_steps,
                inputs,
                state,
                jit_compile,
            )
