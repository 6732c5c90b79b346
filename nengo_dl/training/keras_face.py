"""Keras's verbs, compile, fit, evaluate and predict, on the one trainer."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import nengo
import numpy as np
from nengo.exceptions import ValidationError
from nengo.utils.numpy import is_integer

from nengo_dl.objectives import Regularize
from nengo_dl.support.arguments import check_flag, check_positive
from nengo_dl.support.lazy_imports import keras
from nengo_dl.training.callbacks import KerasCallbacks
from nengo_dl.training.data import WHOLE, ArrayData, StreamData
from nengo_dl.training.face import Training
from nengo_dl.training.keras_data import (
    FirstMinibatches,
    KerasData,
    first_of_pairs,
    frequency,
)
from nengo_dl.training.keras_objectives import make_recipe
from nengo_dl.training.memory import check_segment
from nengo_dl.training.recipe import TrainingRecipe
from nengo_dl.training.result_names import Results
from nengo_dl.training.team import Team
from nengo_dl.training.trainer import TrainingOptions

__all__ = ["KerasTraining"]


class KerasTraining:
    """Does what `keras.Model` does, with a simulator.

    Parameters
    ----------
    training : Training
        Trains.
    """

    def __init__(self, training: Training):
        self.training = training
        self.recipe: TrainingRecipe | None = None
        self.data = KerasData(training.node_names, training.probe_names)

    def compile(
        self,
        optimizer: Any,
        loss: Any,
        metrics: Any,
        weights: Any,
        weighted_metrics: Any,
    ) -> None:
        """Keep how to train; see ``Simulator.compile``."""
        optimizer = self.training.trainer.optimizers.check(optimizer)
        self.recipe = make_recipe(
            optimizer,
            loss,
            metrics,
            weights,
            self.training.probe_names,
            weighted_metrics,
        )
        self.training.keras_model.use(optimizer)

    def fit(
        self,
        x: Any,
        y: Any,
        n_steps: int | None,
        epochs: int,
        initial_epoch: int,
        verbose: Any,
        callbacks: Any,
        validation: Sequence[Any] | None,
        validation_split: float,
        validation_freq: Any,
        validation_steps: int | None,
        shuffle: bool,
        steps_per_epoch: int | None,
        truncation: int | None,
        recompute: int | None,
        validation_rates: bool | None,
        sample_weight: Any,
        class_weight: Any,
        stateful: bool,
        workers: Any = None,
    ) -> keras.callbacks.History:
        """Train; see ``Simulator.fit``."""
        recipe = self._compiled("fit")
        training = self.training
        training.check_not_inference_only("fit")
        epochs = check_positive(epochs, "epochs")
        initial_epoch = check_positive(initial_epoch, "initial_epoch", least=0)
        team = training.team(workers)
        stateful = check_flag(stateful, "stateful")
        data, terms, metrics = self._read(
            recipe, x, y, n_steps, sample_weight, class_weight, team.share
        )
        team.check(data, terms, stateful)
        held = None
        if validation is not None:
            held_x, held_y, weights = (*validation, None, None)[:3]
            held = self._read(
                *(recipe, held_x, held_y, n_steps, weights), share=team.share
            )[0]
        elif validation_split:
            data, held = self._split(data, validation_split)
        options = TrainingOptions(
            epochs,
            check_flag(shuffle, "shuffle"),
            training.check_truncation(truncation, data),
            check_segment(recompute),
            metrics,
            first_epoch=initial_epoch,
            stateful=stateful,
            team=team,
            validation_rates=check_flag(
                validation_rates, "validation_rates", or_none=True
            ),
        )
        if held is not None:
            options.validation = self._first(held, validation_steps, "validation_steps")
            options.validated = frequency(validation_freq)
        options.callbacks = self._callbacks(callbacks, verbose, team)
        limited = self._first(data, steps_per_epoch, "steps_per_epoch")
        training.trainer.train(limited, recipe.optimizer, terms, options)
        history = training.keras_model.history
        history.history = self._named(history.history)
        return history

    def evaluate(
        self,
        x: Any,
        y: Any,
        n_steps: int | None,
        verbose: Any,
        steps: int | None,
        callbacks: Any,
        sample_weight: Any,
        stateful: bool,
        rates: bool | None,
        workers: Any = None,
    ) -> dict[str, float]:
        """Measure loss and metrics; see ``Simulator.evaluate``."""
        recipe = self._compiled("evaluate")
        team = self.training.team(workers)
        data, terms, metrics = self._read(
            recipe, x, y, n_steps, sample_weight, share=team.share
        )
        data = self._first(data, steps, "steps")
        stateful = check_flag(stateful, "stateful")
        team.check(data, (), stateful)
        rates = self._check_rates(rates, stateful)
        bridge = self._callbacks(callbacks, verbose, team)
        bridge.begin_alone(data.n_minibatches)
        return self._named(
            self.training.trainer.evaluate(
                data,
                terms,
                metrics,
                rates=rates,
                callbacks=bridge,
                stateful=stateful,
                method="evaluate",
                team=team,
            )
        )

    def predict(
        self,
        x: Any,
        n_steps: int | None,
        verbose: Any,
        steps: int | None,
        callbacks: Any,
        stateful: bool,
        rates: bool | None,
        method: str,
        workers: Any = None,
    ) -> dict[nengo.Probe, np.ndarray]:
        """Return what probes show; see ``Simulator.predict``."""
        team = self.training.team(workers)
        inputs, _, _ = self.data.read(x, None, n_steps)
        data = self.training.checker.read(
            first_of_pairs(inputs), None, keeps_rest=True, share=team.share
        )
        data = self._first(data, steps, "steps")
        stateful = check_flag(stateful, "stateful")
        team.check(data, (), stateful)
        rates = self._check_rates(rates, stateful)
        bridge = self._callbacks(callbacks, verbose, team)
        bridge.begin_alone(data.n_minibatches)
        return self.training.trainer.predict(
            data, bridge, stateful, rates, method, team
        )

    def train_on_batch(
        self,
        x: Any,
        y: Any,
        n_steps: int | None,
        sample_weight: Any,
        class_weight: Any,
        workers: Any = None,
    ) -> dict[str, float]:
        """Update the parameters once; see ``Simulator.train_on_batch``."""
        recipe = self._compiled("train_on_batch")
        self.training.check_not_inference_only("train")
        team = self.training.team(workers)
        data, terms, metrics = self._read(
            recipe, x, y, n_steps, sample_weight, class_weight, team.share
        )
        self._check_one(data)
        options = TrainingOptions(1, False, metrics=metrics, finalizes=False, team=team)
        history = self.training.trainer.train(
            data, recipe.optimizer, terms, options
        ).history
        return self._named({name: values[-1] for name, values in history.items()})

    def test_on_batch(
        self,
        x: Any,
        y: Any,
        n_steps: int | None,
        sample_weight: Any,
        rates: bool | None,
        workers: Any = None,
    ) -> dict[str, float]:
        """Measure a minibatch; see ``Simulator.test_on_batch``."""
        recipe = self._compiled("test_on_batch")
        team = self.training.team(workers)
        data, terms, metrics = self._read(
            recipe, x, y, n_steps, sample_weight, share=team.share
        )
        self._check_one(data)
        rates = self._check_rates(rates)
        return self._named(
            self.training.trainer.evaluate(
                *(data, terms, metrics),
                rates=rates,
                method="test_on_batch",
                team=team,
            )
        )

    # -- checks

    def check_batch_size(self, batch_size: Any, attribute: str = "batch_size") -> None:
        """Raise if a batch size is not that of the simulator."""
        minibatch = self.training.trainer.minibatch
        if batch_size is not None and (
            not is_integer(batch_size) or batch_size != minibatch
        ):
            raise ValidationError(
                f"The simulator was made for minibatches of {minibatch} (got "
                f"{batch_size}); leave {attribute} out, or make a simulator with "
                f"minibatch_size={batch_size}",
                attr=attribute,
            )

    def _check_rates(self, rates: Any, stateful: bool = False) -> bool | None:
        rates = check_flag(rates, "rates", or_none=True)
        if rates and stateful:
            raise ValidationError(
                "With stateful=True this is a part of the simulation, in which neurons "
                "spike; leave one of the two out",
                attr="rates",
            )
        return rates

    def _compiled(self, action: str) -> TrainingRecipe:
        if self.recipe is None:
            raise ValidationError(
                f"Call compile(optimizer, loss) before {action}, or use train and "
                "loss, which take an optimizer and an objective",
                attr="compile",
            )
        if not self.recipe.objective:
            raise ValidationError(
                f"There is nothing to {action}: compile was given no loss", attr="loss"
            )
        return self.recipe

    def _read(
        self,
        recipe,
        x,
        y,
        n_steps,
        sample_weight=None,
        class_weight=None,
        share=WHOLE,
    ):
        """Return data, terms of the loss, and metrics."""
        inputs, targets, weights = self.data.read(
            x, y, n_steps, sample_weight, class_weight
        )
        objective, metrics = recipe.objective, recipe.metrics or {}
        only_measured = set()
        if isinstance(targets, dict):
            objective, metrics = self._with_targets(recipe, targets)
            measured = {probe for by_probe in metrics.values() for probe in by_probe}
            only_measured = measured - set(objective)
            # as in Keras, a target that nothing looks at is left out
            used = measured | set(objective)
            targets = {p: v for p, v in targets.items() if p in used}
            weights = {p: v for p, v in weights.items() if p in used}
        data, terms = self.training.read(
            inputs, targets, objective, True, weights, only_measured, share
        )
        return data, terms, self.training.metrics(metrics, data, terms)

    def _with_targets(self, recipe: TrainingRecipe, targets: Collection[nengo.Probe]):
        """Return the losses and metrics that have targets, or need none."""
        names = {probe: name for name, probe in self.training.probe_names.items()}
        missing = [
            name for p, name in names.items() if p in recipe.needed - set(targets)
        ]
        if missing:
            raise ValidationError(
                f"There is no target for {', '.join(missing)}, for which compile was "
                "given a loss or metrics; pass one, or leave those out of compile",
                attr="y",
            )
        objective = {
            p: f
            for p, f in recipe.objective.items()
            if p in targets or isinstance(f, Regularize)
        }
        if not objective:
            what = "loss for any of the targets" if targets else "target"
            raise ValidationError(
                f"There is no {what}; compile was given a loss for "
                f"{', '.join(names[p] for p in recipe.objective)}",
                attr="y",
            )
        metrics = {
            name: by_probe
            for name, by_probe in (recipe.metrics or {}).items()
            if all(
                p in targets or isinstance(f, Regularize) for p, f in by_probe.items()
            )
        }
        return objective, metrics

    def _split(self, data, share: float) -> tuple[ArrayData, ArrayData]:
        """Divide data; what comes last is for validation."""
        if not isinstance(data, ArrayData):
            raise ValidationError(
                "Only arrays can be divided; pass validation_data",
                attr="validation_split",
            )
        if not 0 < share < 1:
            raise ValidationError(
                f"Must be between 0 and 1 (got {share})", attr="validation_split"
            )
        count = int(data.n_items * (1 - share))
        if count in (0, data.n_items):
            raise ValidationError(
                f"{share} of {data.n_items} items leaves one of the parts empty",
                attr="validation_split",
            )
        return data.part(slice(0, count)), data.part(slice(count, None))

    def _first(
        self, data: ArrayData | StreamData, count: int | None, attribute: str
    ) -> Any:
        if count is None:
            return data
        count = check_positive(count, attribute)
        return FirstMinibatches(data, count, attribute == "validation_steps")

    def _check_one(self, data: ArrayData | StreamData) -> None:
        size = self.training.trainer.minibatch
        if isinstance(data, ArrayData):
            size *= data.share.count
        if not isinstance(data, ArrayData) or data.n_items > size:
            count = data.n_items if isinstance(data, ArrayData) else "an iterable"
            raise ValidationError(
                f"Must be the arrays of one minibatch of {size} items (got {count})",
                attr="x",
            )

    def _named(self, values: Mapping[str, Any]) -> Results:
        names = list(self.training.probe_names)
        return Results(values, names[0] if len(names) == 1 else None)

    def _callbacks(self, callbacks: Any, verbose: Any, team: Team) -> KerasCallbacks:
        """Return what calls callbacks; they, and messages, are the first process's."""
        if not team.is_first:
            callbacks, verbose = None, 0
        verbose = 1 if verbose == "auto" else int(verbose)
        return KerasCallbacks(callbacks, self.training.keras_model, verbose)
