"""Current values of the parameters of Nengo objects."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import nengo
import numpy as np
from nengo.builder import Model
from nengo.builder.connection import BuiltConnection
from nengo.builder.ensemble import BuiltEnsemble
from nengo.builder.operator import ElementwiseInc
from nengo.builder.signal import Signal
from nengo.ensemble import Neurons
from nengo.exceptions import ValidationError
from nengo.neurons import Direct
from nengo.transforms import SparseMatrix

from nengo_dl.compiler.ir import n_values
from nengo_dl.compiler.parameters import find_parameters
from nengo_dl.compiler.sparse import coo
from nengo_dl.compiler.tensor_nodes import BuiltTensorNode
from nengo_dl.compiler.traits import Role
from nengo_dl.execution.session import Session

__all__ = ["ParameterValues", "UnknownObjectError"]


class UnknownObjectError(ValidationError, KeyError):
    """There is no data for an object; also a KeyError, as mappings raise."""

    def __init__(self, msg: str, attr: str, obj: Any = None):
        ValidationError.__init__(self, msg, attr=attr, obj=obj)

    def __str__(self) -> str:
        # not super(): a KeyError shows the repr of its message, with quotes
        return str(ValidationError(self.args[0], attr=self.attr, obj=self.obj))


class ParameterValues:
    """Parameters of a model's objects as they are now, and the means to replace them.

    Parameters
    ----------
    session : Session
        Holds the values.
    model : nengo.builder.Model
        The simulated model; it is not modified.
    minibatched : bool
        Whether values that a learning rule changes are shown with a batch axis.

    Attributes
    ----------
    parameters : list of Parameter
        All parameters, in the order in which Nengo built them.

    Notes
    -----
    A value that equals the rounded initial one is shown as Nengo built it. So whatever
    nothing has changed is exact, also in single precision.

    What the compiled program never reads (a connection whose result nobody uses) has
    no place in the session. Its value is kept here, so that loading and saving are
    complete.
    """

    def __init__(self, session: Session, model: Model, minibatched: bool):
        self.session = session
        self.model = model
        self.minibatched = minibatched
        written = {
            signal.base
            for op in model.operators
            for signal in (*op.sets, *op.incs, *op.updates)
        }
        self.parameters = find_parameters(model, written.__contains__)
        self._signals: dict[tuple[Any, str], Signal] = {
            (parameter.obj, parameter.attribute): parameter.signal
            for parameter in self.parameters
        }
        self._learned = {p.signal for p in self.parameters if p.learned}
        self._unread: dict[Signal, np.ndarray] = {}
        self._gains: dict[nengo.Ensemble, np.ndarray] = {}

    @property
    def minibatch_size(self) -> int:
        """Number of items that are simulated in parallel."""
        return self.session.step.config.minibatch_size

    # -- signals

    def signal_of(self, obj: Any, attribute: str) -> Signal | None:
        """Return the signal of a parameter, or None if the object has no such one."""
        return self._signals.get((obj, attribute))

    def read(self, signals: Iterable[Signal]) -> dict[Signal, tuple[np.ndarray, bool]]:
        """Return the values that the simulation uses, in its own precision.

        Parameters
        ----------
        signals : iterable of Signal
            Constants or state.

        Returns
        -------
        dict of {Signal: (ndarray, bool)}
            Values of shape (1 or minibatch, *shape), for sparse signals (1, n_values),
            and whether all items share it.
        """
        signals = list(dict.fromkeys(signals))
        placed = self.session.step.layout.block_of
        live = [signal for signal in signals if signal in placed]
        found = dict(zip(live, self.session.store.values_of(live), strict=True))
        for signal in signals:
            if signal not in found:
                initial = signal.initial_value
                data = coo(initial)[2] if signal.sparse else initial
                data = self._unread.get(signal, np.asarray(data))
                found[signal] = (data[None], True)
        return found

    def differs(self, signal: Signal) -> bool:
        """Whether items of a minibatch have values of their own for a parameter."""
        block = self.session.step.layout.block_of.get(signal)
        return block is not None and block.role is Role.STATE

    def write(
        self,
        values: Mapping[Signal, np.ndarray],
        gains: Mapping[nengo.Ensemble, np.ndarray] | None = None,
    ) -> None:
        """Replace values: all of them, or none.

        Parameters
        ----------
        values : mapping of {Signal: ndarray}
            New values; see `StateStore.set_values`.
        gains : mapping of {Ensemble: ndarray}, optional
            New gains of ensembles, also for connections to their neurons.
        """
        gains = gains or {}
        values = {**values, **self._gain_signals(gains)}
        placed = self.session.step.layout.block_of
        self.session.store.set_values({s: v for s, v in values.items() if s in placed})
        for signal, value in values.items():
            if signal not in placed:
                shape = (n_values(signal),) if signal.sparse else signal.shape
                self._unread[signal] = np.array(value, signal.dtype).reshape(shape)
        for ens, gain in gains.items():
            self._gains[ens] = np.array(gain, dtype=self.model.params[ens].gain.dtype)

    # -- gains, which are no parameters, but part of what an ensemble is

    def gain(self, ens: nengo.Ensemble) -> np.ndarray | None:
        """Return the gains of an ensemble, shape (n_neurons,); None in Direct mode."""
        return self._gains.get(ens, self.model.params[ens].gain)

    def learns_encoders(self, ens: nengo.Ensemble) -> bool:
        """Whether a learning rule changes encoders: its operator then holds gains."""
        return self._signals[ens, "encoders"] in self._learned

    def _gain_signals(
        self, gains: Mapping[nengo.Ensemble, np.ndarray]
    ) -> dict[Signal, np.ndarray]:
        """Return the signals in which connections to neurons hold gains.

        Parameters
        ----------
        gains : mapping of {Ensemble: ndarray}
            New gains of whole ensembles.

        Returns
        -------
        dict of {Signal: ndarray}
            The part of the gains that each signal holds.
        """
        weighted = {
            self.model.sig[conn]["weighted"]: conn
            for conn in self.model.params
            if isinstance(conn, nengo.Connection)
            and isinstance(conn.post_obj, Neurons)
            and conn.post_obj.ensemble in gains
        }
        found: dict[Signal, np.ndarray] = {}
        for op in self.model.operators:
            if type(op) is ElementwiseInc and op.X in weighted and not op.A.is_view:
                conn = weighted[op.X]
                found[op.A] = gains[conn.post_obj.ensemble][conn.post_slice]
        return found

    # -- Nengo's records

    def built(
        self, objs: Sequence[Any]
    ) -> list[BuiltEnsemble | BuiltConnection | BuiltTensorNode]:
        """Return Nengo's records of objects, with current values.

        Parameters
        ----------
        objs : sequence of Ensemble or Neurons or Connection or TensorNode
            Objects of the model.

        Returns
        -------
        list of BuiltEnsemble or BuiltConnection or BuiltTensorNode
            Records with read-only arrays. What a learning rule changes has a batch axis
            first if the simulator has a minibatch size.
        """
        objs = [obj.ensemble if isinstance(obj, Neurons) else obj for obj in objs]
        wanted = []
        for obj in objs:
            wanted += [(obj, "encoders"), (obj, "weights")]
            if isinstance(obj, nengo.Ensemble):
                wanted.append((obj.neurons, "bias"))
        signals = [self._signals[key] for key in wanted if key in self._signals]
        live = {
            signal: self._shown(signal, *value)
            for signal, value in self.read(signals).items()
        }
        for obj in objs:
            if isinstance(self.model.params[obj], BuiltTensorNode):
                record = self.model.params[obj]
                weights = [record.signals[name] for name in record.weights]
                # all items of the minibatch share them
                live.update(
                    (signal, self._shown(signal, value[:1], True))
                    for signal, (value, _) in self.read(weights).items()
                )
        return [self._built(obj, live) for obj in objs]

    def _built(self, obj, live):
        raw = self.model.params[obj]
        if isinstance(raw, BuiltTensorNode):
            weights = {name: live[raw.signals[name]] for name in raw.weights}
            return dataclasses.replace(raw, weights=weights)
        if isinstance(obj, nengo.Ensemble):
            return self._built_ensemble(obj, live)
        return self._built_connection(obj, live)

    def get(self, *obj_attrs: tuple[Any, str]) -> list[Any]:
        """Return attributes of the records of objects, read from the device at once.

        Parameters
        ----------
        *obj_attrs : tuple of (Ensemble or Neurons or Connection or TensorNode, str)
            Objects, and names of fields of Nengo's `BuiltEnsemble` or
            `BuiltConnection`; ``"weights"`` for a TensorNode.

        Returns
        -------
        list of ndarray
            The values (for fields that are no arrays, what Nengo stored; for a
            TensorNode, a dict of arrays by name).

        Raises
        ------
        ValidationError
            If an object has no such field, or is not part of the model.
        """
        for pair in obj_attrs:
            self._check_pair(pair)
        objs = list(dict.fromkeys(obj for obj, _ in obj_attrs))
        records = dict(zip(objs, self.built(objs), strict=True))
        return [getattr(records[obj], attr) for obj, attr in obj_attrs]

    def _check_pair(self, pair: tuple[Any, str]) -> None:
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise ValidationError(
                "Each argument must be a tuple of an object and the name of one of its "
                f"parameters, such as (ens, 'bias'); got {pair!r}",
                attr="obj_attrs",
            )
        obj, attribute = pair
        owner = obj.ensemble if isinstance(obj, Neurons) else obj
        try:
            record = self.model.params.get(owner)
        except TypeError:  # not hashable, so it is no Nengo object
            record = None
        if isinstance(record, BuiltTensorNode):
            known: tuple[str, ...] = ("weights",)
        elif isinstance(record, (BuiltEnsemble, BuiltConnection)):
            known = record._fields
        else:
            raise UnknownObjectError(
                f"{obj!r} is no Ensemble, Neurons, Connection or TensorNode of the "
                "simulated network, so it has no parameters",
                attr="obj_attrs",
            )
        if attribute not in known:
            raise ValidationError(
                f"{obj} has no parameter {attribute!r}; it has {', '.join(known)}",
                attr="obj_attrs",
            )

    def _built_ensemble(self, ens, live) -> BuiltEnsemble:
        raw = self.model.params[ens]
        if isinstance(ens.neuron_type, Direct):
            arrays = {k: v for k, v in raw._asdict().items() if v is not None}
            return raw._replace(**{k: _read_only(v) for k, v in arrays.items()})
        scaled = live[self._signals[ens, "encoders"]]
        bias = live[self._signals[ens.neurons, "bias"]]
        gain = self.gain(ens)
        assert gain is not None, "only Direct mode has none"
        encoders = scaled
        with np.errstate(all="ignore"):
            changed = (scaled != raw.scaled_encoders) | (gain != raw.gain)[:, None]
            if changed.any():
                unscaled = scaled * (ens.radius / gain)[:, None]
                encoders = np.where(changed, unscaled, raw.encoders)
            else:
                encoders = np.broadcast_to(raw.encoders, scaled.shape)
        max_rates, intercepts = raw.max_rates, raw.intercepts
        if not (np.array_equal(bias, raw.bias) and np.array_equal(gain, raw.gain)):
            max_rates, intercepts = _max_rates_intercepts(ens, gain, bias)
        return raw._replace(
            eval_points=_read_only(raw.eval_points),
            encoders=_read_only(encoders),
            scaled_encoders=scaled,
            gain=_read_only(gain),
            bias=bias,
            max_rates=None if max_rates is None else _read_only(max_rates),
            intercepts=None if intercepts is None else _read_only(intercepts),
        )

    def _built_connection(self, conn, live) -> BuiltConnection:
        raw = self.model.params[conn]
        signal = self._signals.get((conn, "weights"))
        if raw.eval_points is not None:
            raw = raw._replace(eval_points=_read_only(raw.eval_points))
        return raw if signal is None else raw._replace(weights=live[signal])

    def _shown(self, signal: Signal, value: np.ndarray, shared: bool) -> Any:
        """Return a value as Nengo would: its type, its shape, exact if unchanged."""
        initial = signal.initial_value
        start = coo(initial)[2] if signal.sparse else initial
        kept = value == start.astype(value.dtype)
        shown = np.where(kept, start, value.astype(start.dtype))
        if shared or not self.minibatched:
            shown = shown[0]
        if not signal.sparse:
            return _read_only(shown)
        if kept.all():
            return initial
        rows, cols, _ = coo(initial)
        if isinstance(initial, SparseMatrix):
            return SparseMatrix(np.stack([rows, cols], axis=1), shown, signal.shape)
        matrix = initial.tocoo(copy=True)
        matrix.data[...] = shown
        return matrix.asformat(initial.format)

    def forget(self) -> None:
        """Return to what Nengo built, where the session does not keep the values."""
        self._gains.clear()
        self._unread.clear()


def _max_rates_intercepts(ens, gain, bias):
    """Return the rates and intercepts that gains and biases imply, None if unknown."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            rates, intercepts = ens.neuron_type.max_rates_intercepts(gain, bias)
    except NotImplementedError:
        return None, None
    return rates, intercepts


def _read_only(values: np.ndarray) -> np.ndarray:
    """Return a view that cannot be written to."""
    view = np.asarray(values).view()
    view.setflags(write=False)
    return view
