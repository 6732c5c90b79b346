"""The network of training in one precision: outputs, and gradients by TensorFlow."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import nengo
import numpy as np
from nengo.builder.signal import Signal

from nengo_dl.compiler.blocks import Block
from nengo_dl.program.schedule import Schedule
from nengo_dl.support.lazy_imports import tf
from nengo_dl.training.data import Minibatch
from nengo_dl.training.trainer import Trainer

__all__ = ["Differentiated"]


class Differentiated:
    """Computes outputs of a minibatch, and gradients of their weighted sum.

    Parameters
    ----------
    trainer : Trainer
        Holds program, parameters and state; nothing of it is changed.
    minibatch : Minibatch
        Values of inputs.
    probes : sequence of Probe
        Outputs.
    dtype : numpy.dtype
        Precision.

    Attributes
    ----------
    constants : list of ndarray
        Values of constants, which may be changed; weights that learning rules change
        come last.
    inputs : list of ndarray, shapes (n_steps or 1, minibatch, size)
        Values of inputs, which may be changed.
    trained : list of int
        Which of the constants are trained.
    owners : list of Block or Signal
        What the constants hold.
    """

    def __init__(
        self,
        trainer: Trainer,
        minibatch: Minibatch,
        probes: Sequence[nengo.Probe],
        dtype: np.dtype,
    ):
        self.trainer = trainer
        self.dtype = np.dtype(dtype)
        store = trainer.session.store
        program = trainer.functions.programs.step(True, dtype=self.dtype)
        blocks = program.constant_blocks
        self.constants = [
            np.array(variable.numpy(), dtype=program.dtype_of(block))
            for variable, block in zip(store.variables.constants, blocks, strict=True)
        ]
        self.trained = [i for i, b in enumerate(blocks) if b.trainable and b.size]
        self._n_constants = len(blocks)
        self.constants += [np.array(v, self.dtype) for v in store.learned.values()]
        self.trained += range(self._n_constants, len(self.constants))
        self.owners: list[Block | Signal] = [*blocks, *store.learned.variables]
        self._minibatch = dataclasses.replace(
            minibatch,
            inputs={s: np.array(v, self.dtype) for s, v in minibatch.inputs.items()},
            is_own=False,
        )
        self.inputs = list(self._minibatch.inputs.values())
        self._made = trainer.inputs.host_inputs(minibatch, trainer.observing_rng())
        pieces = trainer.inputs.pieces(
            self._minibatch, self._made, 0, minibatch.n_steps, program
        )
        moving = [any(p.shape[0] > 1 for p in parts) for parts in pieces]
        self._stages = Schedule(program, moving)
        self._numbers = [trainer.probes.index(probe) for probe in probes]
        self._jit = trainer.functions.programs.compiles(self._stages)
        self._forward = self._compile_forward()

    def outputs(self) -> list[np.ndarray]:
        """Return what the probes show, shapes (minibatch, n_steps, size)."""
        found = self._forward(self._tensors(), self._pieces())
        return [output.numpy() for output in found]

    def gradients(
        self, weights: Sequence[np.ndarray]
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Return the gradients of a weighted sum of the outputs.

        Parameters
        ----------
        weights : sequence of ndarray
            Of the shapes of the outputs.

        Returns
        -------
        for_constants, for_inputs : list of ndarray
            For the constants that are trained, and for all inputs.
        """
        signals = list(self._minibatch.inputs)
        blocks = self._stages.program.input_blocks
        places = [
            (number, block.signals.index(signal), signal)
            for signal in signals
            for number, block in enumerate(blocks)
            if signal in block.starts
        ]
        factors = [tf.constant(w, self.dtype) for w in weights]

        @tf.function(jit_compile=self._jit, autograph=False)
        def gradients(constants, pieces):
            sources = [constants[i] for i in self.trained]
            sources += [pieces[block][place] for block, place, _ in places]
            with tf.GradientTape() as tape:
                tape.watch(sources)
                outputs = self._simulate(constants, pieces)
                total = tf.add_n(
                    [tf.reduce_sum(w * o) for w, o in zip(factors, outputs)]
                )
            return tape.gradient(
                total, sources, unconnected_gradients=tf.UnconnectedGradients.ZERO
            )

        # a concrete function, since TensorFlow warns of functions defined repeatedly
        constants = self._tensors()
        concrete = gradients.get_concrete_function(constants, self._pieces())
        found = [
            tf.convert_to_tensor(gradient).numpy()
            for gradient in concrete(constants, self._pieces())
        ]
        by_signal = {
            signal: gradient
            for (_, _, signal), gradient in zip(
                places, found[len(self.trained) :], strict=True
            )
        }
        return found[: len(self.trained)], [
            by_signal.get(signal, np.zeros_like(values))
            for signal, values in self._minibatch.inputs.items()
        ]

    def _simulate(self, constants, pieces):
        program = self._stages.program
        state = [
            tf.cast(value, program.dtype_of(block))
            for value, block in zip(
                self.trainer.state, program.state_blocks, strict=True
            )
        ]
        learned = self.trainer.session.store.learned
        return self.trainer.functions.programs.simulate(
            self._stages,
            constants[: self._n_constants],
            learned.put_tensors(state, constants[self._n_constants :]),
            pieces,
            self._minibatch.n_steps,
            self._numbers,
            True,
        )[1]

    def _compile_forward(self):
        @tf.function(jit_compile=self._jit, autograph=False)
        def forward(constants, pieces):
            return self._simulate(constants, pieces)

        return forward.get_concrete_function(self._tensors(), self._pieces())

    def _tensors(self) -> list[tf.Tensor]:
        return [tf.convert_to_tensor(constant) for constant in self.constants]

    def _pieces(self) -> list[list[tf.Tensor]]:
        inputs, program = self.trainer.inputs, self._stages.program
        if program.has_callbacks:
            inputs.host.reset(0)
            inputs.start_chunk(self._minibatch, 0)
        n_steps = self._minibatch.n_steps
        return inputs.pieces(self._minibatch, self._made, 0, n_steps, program)
