"""What `train`, `loss` and `check_gradients` of the simulator check and call."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import nengo
import numpy as np
from nengo.builder import Model
from nengo.builder.signal import Signal
from nengo.exceptions import ValidationError
from nengo.utils.numpy import is_integer

from nengo_dl.execution.fed_weights import fed_weights
from nengo_dl.execution.session import Session
from nengo_dl.support.arguments import (
    check_extra_feeds,
    check_flag,
    check_positive,
    objects_named,
    says_how_many,
    temporary_values,
)
from nengo_dl.support.lazy_imports import keras, tf
from nengo_dl.support.progress import track
from nengo_dl.training.callbacks import KerasCallbacks
from nengo_dl.training.data import WHOLE, ArrayData, Share, StreamData
from nengo_dl.training.data_forms import DataChecker
from nengo_dl.training.gradient_checks import GradientReport, compare_gradients
from nengo_dl.training.history import TrainingHistory
from nengo_dl.training.joined_team import team_of
from nengo_dl.training.keras_data import names_of
from nengo_dl.training.keras_layer import SimulatorFunction
from nengo_dl.training.keras_model import SimulatorModel
from nengo_dl.training.memory import check_segment
from nengo_dl.training.metrics import find_metrics
from nengo_dl.training.recipe import TrainingRecipe
from nengo_dl.training.summaries import TrainingSummaries
from nengo_dl.training.team import Team
from nengo_dl.training.terms import Term, find_terms
from nengo_dl.training.trainer import Trainer, TrainingOptions

__all__ = ["Training"]

#: Number of time steps over which gradients are checked by default.
_CHECKED_STEPS = 5


class Training:
    """Everything about training that one simulator keeps.

    Parameters
    ----------
    session : Session
        Runs the simulation.
    model : Model
        What Nengo built.
    signals : mapping of {Node: Signal}
        The nodes that can be fed.
    seed : int
        Seed of the order of minibatches, and of random inputs during training.
    simulator : Simulator
        Does what is asked of its Keras model.
    """

    def __init__(
        self,
        session: Session,
        model: Model,
        signals: Mapping[nengo.Node, Signal],
        seed: int,
        simulator: Any,
    ):
        self.simulator = simulator
        self.model = model
        self.signals = signals
        self.shapes = {probe: model.sig[probe]["in"].shape for probe in model.probes}
        self.trainer = Trainer(session, model, seed)
        self.checker = DataChecker(
            signals, model.probes, session.step.config.dtype, self.trainer.minibatch
        )

    @functools.cached_property
    def node_names(self) -> dict[str, nengo.Node]:
        """The nodes that can be fed, by label, else ``node``, ``node_1``..."""
        return names_of(self.signals, "node")

    @functools.cached_property
    def probe_names(self) -> dict[str, nengo.Probe]:
        """The probes, by label, else ``probe``, ``probe_1``..."""
        return names_of(self.model.probes, "probe")

    @functools.cached_property
    def keras_model(self) -> SimulatorModel:
        """What is trained, as a Keras model."""
        return SimulatorModel(
            self.simulator,
            self.trainer.parameters,
            self.node_names,
            self.probe_names,
            SimulatorFunction(self.trainer, self.signals),
            self.model,
        )

    def train(
        self,
        inputs: Any,
        targets: Any,
        recipe: TrainingRecipe,
        n_epochs: int,
        shuffle: bool,
        extra_feeds: Mapping[tf.Variable, np.ndarray] | None,
        validation: Any,
        callbacks: Any,
        progress_bar: Any,
        summaries: TrainingSummaries | None = None,
        validation_rates: bool | None = None,
        workers: Any = None,
    ) -> TrainingHistory:
        """Train the parameters; see ``Simulator.train``."""
        self.check_not_inference_only("train")
        team = self.team(workers)
        inputs, targets, optimizer = self.checker.separate(
            inputs, targets, recipe.optimizer
        )
        n_epochs = check_positive(n_epochs, "n_epochs")
        if optimizer is None:
            raise ValidationError(
                "Give an optimizer, such as 'adam' or keras.optimizers.Adam(1e-3)",
                attr="optimizer",
            )
        data, terms = self.read(inputs, targets, recipe.objective, share=team.share)
        team.check(data, terms, False)
        truncation = self.check_truncation(recipe.truncation, data)
        options = TrainingOptions(
            n_epochs,
            check_flag(shuffle, "shuffle"),
            truncation,
            check_segment(recipe.recompute),
            self.metrics(recipe.metrics, data, terms),
            summaries=summaries,
            validation_rates=check_flag(
                validation_rates, "validation_rates", or_none=True
            ),
            team=team,
        )
        if validation is not None:
            options.validation = self._validation(validation, terms, team.share)
        if callbacks is not None:
            given = callbacks if team.is_first else ()
            options.callbacks = KerasCallbacks(given, self.keras_model)
        progress_bar = progress_bar if team.is_first else False
        count = data.n_minibatches
        total = None if count is None else count * n_epochs
        with (
            self._extra_values(extra_feeds),
            track(progress_bar, "Training", "Training", total) as tracker,
        ):
            progress = tracker.total_progress

            def report(epoch: int, n_epochs: int, loss: float) -> None:
                progress.name_during = (
                    f"Training (epoch {epoch + 1} of {n_epochs}, loss {loss:.4g})"
                )
                progress.step()

            options.report = report
            return self.trainer.train(data, optimizer, terms, options)

    @contextlib.contextmanager
    def _extra_values(self, extra_feeds: Mapping[tf.Variable, Any] | None):
        """Give variables, and weights that are copies of them, other values."""
        checked = check_extra_feeds(extra_feeds or {})
        store = self.trainer.session.store
        with temporary_values(checked), fed_weights(store, self.model, checked):
            yield

    def loss(
        self,
        inputs: Any,
        targets: Any,
        objective: Any,
        extra_feeds: Mapping[tf.Variable, np.ndarray] | None,
        training: bool,
        workers: Any = None,
    ) -> float:
        """Return the loss; see ``Simulator.loss``."""
        team = self.team(workers)
        inputs, targets, given = self.checker.separate(inputs, targets)
        objective = objective if given is None else given
        data, terms = self.read(inputs, targets, objective, True, share=team.share)
        with self._extra_values(extra_feeds):
            training = check_flag(training, "training")
            found = self.trainer.evaluate(data, terms, {}, training, team=team)
            return found["loss"]

    def check_gradients(
        self, outputs: Any, atol: float, rtol: float, inputs: Any
    ) -> GradientReport:
        """Compare gradients; see ``Simulator.check_gradients``."""
        self.check_not_inference_only("check gradients")
        outputs = self._checked_outputs(outputs)
        if not outputs:
            raise ValidationError("The network has no probes", attr="outputs")
        n_items = self.trainer.minibatch
        if inputs is None:
            inputs = _CHECKED_STEPS
        if is_integer(inputs) and self.signals:
            rng = np.random.RandomState(0)
            inputs = {
                node: rng.uniform(-1, 1, (n_items, int(inputs), node.size_out))
                for node in self.signals
            }
        data = self.checker.read(inputs, None)
        if not isinstance(data, ArrayData):
            raise ValidationError("Must be arrays or a number of steps", attr="inputs")
        minibatch = next(data.epoch(None))
        by_signal = {signal: node for node, signal in self.signals.items()}
        nodes = [by_signal[signal] for signal in minibatch.inputs]
        return compare_gradients(
            self.trainer, minibatch, nodes, list(outputs), atol, rtol
        )

    def _checked_outputs(self, outputs: Any) -> list[nengo.Probe]:
        """Return the probes that `check_gradients` is asked for."""
        if outputs is None:
            return list(self.model.probes)
        if not isinstance(outputs, list | tuple | set):
            outputs = [outputs]
        found = []
        for output in outputs:
            probes = objects_named(output, self.model.probes, "probe")
            if tf.is_tensor(output) or isinstance(output, keras.KerasTensor):
                raise ValidationError(
                    "Must be probes, not tensors: with TensorFlow 2, a tensor does not "
                    "belong to a simulation. Give what computes it a probe, "
                    "nengo.Probe(node), and pass that",
                    attr="outputs",
                )
            if len(probes) != 1:
                raise ValidationError(
                    f"{output!r} is not a probe of the simulated network"
                    f"{says_how_many(probes)}",
                    attr="outputs",
                )
            found += probes
        return found

    # -- checks

    def check_not_inference_only(self, action: str) -> None:
        """Raise if the network was configured for inference only."""
        if self.trainer.session.plan.settings.inference_only:
            raise ValidationError(
                f"Cannot {action}: {self.model.toplevel} was configured with "
                "inference_only=True. Set it to False (or None) and make another "
                "Simulator",
                attr="inference_only",
            )

    def team(self, workers: Any) -> Team:
        """Return the processes that work together; mostly this one alone."""
        return team_of(workers, self.trainer.session)

    def read(
        self,
        inputs: Any,
        targets: Any,
        objective: Any,
        keeps_rest: bool = False,
        weights: Mapping[nengo.Probe, np.ndarray] | None = None,
        only_measured: Collection[nengo.Probe] = (),
        share: Share = WHOLE,
    ) -> tuple[ArrayData | StreamData, list[Term]]:
        """Return data, and the terms of a loss of it.

        Targets of the probes that are only measured need no objective.
        """
        if not self.model.probes:
            raise ValidationError(
                "The network has no probes, so it has no output to compare with",
                attr="targets",
            )
        data = self.checker.read(inputs, targets, keeps_rest, weights, share)
        if isinstance(data, ArrayData):
            probes = [p for p in data.probes if p not in only_measured]
        elif isinstance(objective, Mapping):
            probes = list(objective)
        else:
            probes = list(self.model.probes)
            if len(probes) > 1:
                raise ValidationError(
                    "With an iterable of inputs and targets, and several probes, pass "
                    "a dict of {Probe: objective}",
                    attr="objective",
                )
        terms = find_terms(objective, probes, self.shapes)
        if isinstance(data, ArrayData):
            self._check_shapes(data, terms)
        return data, terms

    def _check_shapes(self, data: ArrayData, terms: Sequence[Term]) -> None:
        """Raise if targets do not have the shape of outputs where they must."""
        for term in terms:
            for probe in term.probes if term.needs_size else ():
                size = self.model.sig[probe]["in"].size
                last = probe in self.trainer.only_last
                expected = (data.n_items, 1 if last else data.n_steps, size)
                found = data.targets[probe].shape
                if found != expected:
                    raise ValidationError(
                        f"Targets of {probe} must have shape (n_items, n_steps, size) "
                        f"= {expected} (got {found})"
                        + (": it keeps no history, but the last step" if last else ""),
                        attr="targets",
                    )

    def check_truncation(
        self, truncation: int | None, data: ArrayData | StreamData
    ) -> int | None:
        """Return a number of steps, after which gradients end, if it is possible."""
        if truncation is None:
            return None
        truncation = check_positive(truncation, "truncation")
        if not isinstance(data, ArrayData):
            return truncation
        for probe, array in data.targets.items():
            if probe in self.trainer.only_last:
                continue
            if array.ndim < 2 or array.shape[1] != data.n_steps:
                raise ValidationError(
                    f"With truncation, targets of {probe} need one value for each of "
                    f"the {data.n_steps} time steps (got shape {array.shape})",
                    attr="truncation",
                )
        return truncation

    def metrics(self, metrics, data, terms) -> dict[str, Term]:
        """Return the terms of metrics by name."""
        probes = list(dict.fromkeys(p for term in terms for p in term.probes))
        return find_metrics(metrics, probes, self.shapes)

    def _validation(self, validation, terms, share) -> ArrayData | StreamData:
        if isinstance(validation, Mapping):
            validation = self.checker.separate(validation, None)[:2]
        if isinstance(validation, (tuple, list)) and len(validation) == 2:
            inputs, targets = validation
            data = self.checker.read(inputs, targets, keeps_rest=True, share=share)
        elif not isinstance(validation, Iterable) and not callable(validation):
            raise ValidationError(
                "Must be a pair of inputs and targets, or an iterable of such pairs "
                f"(got {type(validation).__name__})",
                attr="validation",
            )
        else:
            data = self.checker.read(validation, None)
        if isinstance(data, ArrayData):
            missing = {p for term in terms if term.needs_size for p in term.probes}
            missing -= set(data.targets)
            if missing:
                raise ValidationError(
                    f"There is no target for {', '.join(map(str, missing))}",
                    attr="validation",
                )
            self._check_shapes(data, terms)
        return data
