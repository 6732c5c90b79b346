"""Parameters: saving, loading, freezing, and pickling."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nengo_dl.parameters.arguments import ONE_OBJECT, by_label, nengo_arguments
from nengo_dl.parameters.checkpoint import Checkpoint
from nengo_dl.parameters.freezing import Frozen, freeze
from nengo_dl.parameters.loading import LoadReport, load_parameters
from nengo_dl.parameters.parts import Histories
from nengo_dl.parameters.saving import save_parameters
from nengo_dl.parameters.training_state import TrainingState
from nengo_dl.simulator.keras import KerasFace
from nengo_dl.support.arguments import check_flag
from nengo_dl.support.errors import errors_of_self
from nengo_dl.support.travel import check_simulator
from nengo_dl.tensor_node import mark_trained

__all__ = ["ParametersFace"]


class ParametersFace(KerasFace):
    """Methods that hand out parameters and state, and take them back."""

    def save_params(
        self,
        path: str | os.PathLike,
        include_global: bool = True,
        include_local: bool = False,
        all_optimizers: bool = False,
        include_state: bool | None = None,
    ) -> Path:
        """Save parameters in a file that NumPy can read.

        Parameters
        ----------
        path : str or os.PathLike
            File name; ``.npz`` is appended if it is missing. An existing file is
            replaced completely, or not at all if there is an error.
        include_global : bool
            Save parameters: encoders, gains, biases and weights (including learned
            weights, for each item of the minibatch), and the state of the optimizer.
        include_local : bool
            Save the state of the simulation, for each item of the minibatch: voltages,
            filters and so on, the time and the random streams. A simulation that loads
            parameters and state continues as if it had not been interrupted. Probe data
            is not saved, nor are Python variables of functions in Nodes.
        all_optimizers : bool
            Save the state of all optimizers that can still be used: those given by
            name, and those that still exist. Otherwise, only the last one is saved.
        include_state : bool, optional
            Another name of ``include_local``.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        SimulatorClosed
            If the simulator was closed.
        ValidationError
            If there is nothing to save, or the path is invalid.
        OSError
            If the file cannot be written.

        Notes
        -----
        Entries are named after the objects of the network, such as
        ``net.networks[0].ensembles[1].bias``; see `nengo_dl.parameters.saving`.

        Examples
        --------
        >>> import tempfile
        >>> with nengo.Network(seed=0) as net:
        ...     ensemble = nengo.Ensemble(10, 1)
        ...     probe = nengo.Probe(ensemble)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with nengo_dl.Simulator(net, progress_bar=False) as sim:
        ...         path = sim.save_params(f"{folder}/params")
        ...     with np.load(path) as file:
        ...         print(file["net.ensembles[0].bias"].shape)
        (10,)
        """
        with self._doing("save parameters"):
            include_local = self._with_state(include_local, include_state)
            return save_parameters(
                self._checkpoint(all_optimizers), path, include_global, include_local
            )

    def load_params(
        self,
        path: str | os.PathLike,
        include_global: bool = True,
        include_local: bool = False,
        objects: Iterable[Any] | Mapping[Any, str] | None = None,
        item: int | None = None,
        only_finite: bool = False,
        include_state: bool | None = None,
    ) -> LoadReport:
        """Load a file of `save_params`: everything that you ask for, or nothing.

        Parameters
        ----------
        path : str or os.PathLike
            File name, with or without ``.npz``.
        include_global : bool
            Load parameters.
        include_local : bool
            Load the state of the simulation, which must have the same minibatch size,
            and continue from the time at which it was saved.
        objects : list of objects, or dict of {object: str}, optional
            Load only the parameters of these Ensembles, Connections, Probes and
            Networks, and ignore the rest of the file. A dict gives their names in the
            file, such as ``{ens: "net.ensembles[3]"}``.
        item : int, optional
            Load the values of this item of the saved minibatch, for all items.
        only_finite : bool
            Raise an error if the file has NaN or infinite numbers, or numbers that
            become infinite in the precision of this simulator. By default, a warning
            names them.
        include_state : bool, optional
            Another name of ``include_local``.

        Returns
        -------
        LoadReport
            Which entries were loaded, and which were not.

        Raises
        ------
        SimulatorClosed
            If the simulator was closed.
        ValidationError
            If the file is damaged or does not fit the network. Nothing is changed.
        OSError
            If the file cannot be read.

        Examples
        --------
        >>> import tempfile
        >>> with nengo.Network(seed=0) as net:
        ...     ensemble = nengo.Ensemble(10, 1)
        ...     probe = nengo.Probe(ensemble)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with nengo_dl.Simulator(net, progress_bar=False) as sim:
        ...         path = sim.save_params(f"{folder}/params")
        ...     with nengo_dl.Simulator(net, progress_bar=False) as sim:
        ...         report = sim.load_params(path)
        >>> report.skipped
        {}
        """
        with self._doing("load parameters"):
            include_local = self._with_state(include_local, include_state)
            report = load_parameters(
                self._checkpoint(),
                path,
                include_global,
                include_local,
                objects,
                item,
                only_finite,
            )
            if include_local:
                self._come_back()
            if include_global:
                mark_trained(self.model)
            return report

    def _with_state(self, include_local: bool, include_state: Any) -> bool:
        if include_state is None:
            return include_local
        return bool(include_local) or check_flag(include_state, "include_state")

    def _checkpoint(self, all_optimizers: bool = False) -> Checkpoint:
        """Return all that is saved of this simulation, in files and in copies."""
        trainer = None if self._training is None else self._training.trainer
        checkpoint = Checkpoint(self._parameters)
        checkpoint.extra += [
            TrainingState(
                self._parameters,
                trainer,
                lambda: self._get_training().trainer,
                all_optimizers,
            ),
            Histories(checkpoint.places, self._histories),
        ]
        return checkpoint

    def freeze_params(self, objs: Any, item: int = 0) -> Frozen:
        """Store current parameters in the definitions of the user's objects.

        The network then gives the same output in other simulators, such as
        `nengo.Simulator`, if they are made with the same seed.

        Parameters
        ----------
        objs : Network or Ensemble or Connection or Probe or TensorNode, or list of them
            Parts of the simulated network; they are changed in place.
        item : int
            Which item of a minibatch to take learned values from.

        Returns
        -------
        Frozen
            ``frozen.undo()`` restores what the objects were defined with.

        Raises
        ------
        SimulatorClosed
            If the simulator was closed.
        TypeError
            If something is no such object.
        ValidationError
            If an object is not part of the simulated network, or has no parameters.

        Notes
        -----
        Ensembles get encoders, gains, biases and, if they had none, the seed with which
        they were built (it decides in which state neurons start). Connections get a
        solver that returns their weights, or a transform that holds them. Of a network,
        probes get solvers too, so that they decode as they did. TensorNodes get a copy
        of their layer or object that has the trained weights. Neuron types, synapses,
        learning rules and random processes stay as they are.

        Examples
        --------
        >>> with nengo.Network(seed=0) as net:
        ...     ensemble = nengo.Ensemble(10, 1)
        ...     probe = nengo.Probe(ensemble)
        >>> with nengo_dl.Simulator(net, progress_bar=False) as sim:
        ...     frozen = sim.freeze_params(net)
        >>> type(ensemble.bias).__name__, ensemble.bias.shape
        ('ndarray', (10,))
        >>> frozen.undo()
        >>> ensemble.bias is None
        True
        """
        with self._doing("freeze parameters"):
            return freeze(self._parameters, objs, item)

    @errors_of_self
    def get_nengo_params(
        self, nengo_objs: Any, as_dict: bool = False, item: int = 0
    ) -> dict[str, Any] | list[dict[str, Any]] | dict[str, dict[str, Any]]:
        """Return current parameters as arguments for new Nengo objects.

        Parameters
        ----------
        nengo_objs : Ensemble or Neurons or Connection, or list of them
            Objects of the simulated network.
        as_dict : bool
            Return a dict with the objects' labels as keys instead of a list.
        item : int
            Which item of a minibatch to take learned values from.

        Returns
        -------
        dict or list of dict or dict of {str: dict}
            For one object, keyword arguments for a new one with the same parameters
            (its sizes, radius, neuron type and synapse are given as always). For
            several objects, a list of such dicts, or a dict with their labels.

        Raises
        ------
        SimulatorClosed
            If the simulator was closed.
        ValidationError
            If an object has no parameters or is not part of the network, or labels are
            not unique.

        Examples
        --------
        >>> with nengo.Network(seed=0) as net:
        ...     ensemble = nengo.Ensemble(10, 1)
        ...     probe = nengo.Probe(ensemble)
        >>> with nengo_dl.Simulator(net, progress_bar=False) as sim:
        ...     params = sim.get_nengo_params(ensemble)
        >>> sorted(params)
        ['bias', 'encoders', 'gain', 'normalize_encoders']
        >>> with nengo.Network():
        ...     same = nengo.Ensemble(10, 1, **params)
        """
        self._check_open("get parameters")
        if not isinstance(nengo_objs, Iterable) or isinstance(nengo_objs, ONE_OBJECT):
            return nengo_arguments(self._parameters, [nengo_objs], item)[0]
        nengo_objs = list(nengo_objs)
        arguments = nengo_arguments(self._parameters, nengo_objs, item)
        return by_label(nengo_objs, arguments) if as_dict else arguments

    def __reduce_ex__(self, protocol: Any) -> Any:
        check_simulator(self)
        return super().__reduce_ex__(protocol)

    def __getstate__(self) -> dict[str, Any]:
        if self._board is not None:
            self._board.flush()
        mixed = self._session.plan.settings.product_dtype
        return {
            "arguments": {
                "model": self.model,
                "dtype": self.dtype.name if mixed is None else f"mixed_{mixed}",
                "device": self.device,
                "unroll_simulation": self.unroll_simulation,
                "minibatch_size": self.minibatch_size,
                "tensorboard": self.tensorboard,
                "progress_bar": self.progress_bar,
                "jit_compile": self.jit_compile,
                "optimize": self.optimize,
                "seed": self.seed,
            },
            "checkpoint": self._checkpoint(True).save(),
            "closed": self.closed,
        }

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__init__(network=None, **state["arguments"])  # type: ignore[misc]
        self._checkpoint().load(state["checkpoint"])
        if state["closed"]:
            self.close()
