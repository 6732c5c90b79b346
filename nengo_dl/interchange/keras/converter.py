"""From Keras models to Nengo networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import nengo
from nengo.neurons import NeuronType

from nengo_dl.interchange.keras import rows  # noqa: F401 (which registers converters)
from nengo_dl.interchange.keras.conversion import Conversion
from nengo_dl.interchange.keras.lookup import ObjectsOfModel
from nengo_dl.interchange.keras.network_maker import is_neural
from nengo_dl.interchange.keras.options import Options
from nengo_dl.interchange.keras.registry import register
from nengo_dl.interchange.keras.report import ConversionReport
from nengo_dl.interchange.keras.verify import verify
from nengo_dl.support.lazy_imports import keras

__all__ = ["Converter"]


class Converter:
    """Convert a Keras model to a Nengo network, optionally with spiking neurons.

    Parameters
    ----------
    model : keras.Model
        A functional model, or a sequential one that was built. It is not changed.
    swap_activations : dict, optional
        Neuron types that replace activations, by activation
        (``keras.activations.relu``, ``tf.nn.relu``, ``"relu"`` or
        ``keras.layers.ReLU``) or by the neuron type that computes it
        (``nengo.RectifiedLinear()``). By default neurons compute exactly what the
        activations do.
    scale_firing_rates : float or dict, optional
        Firing rate for an activation of 1, in Hz; a dict has a rate for each layer
        (or its name), for which `firing_rate_scales
        <nengo_dl.interchange.keras.firing_rate_scales>` finds values. Gains are
        multiplied by it, and amplitudes divided by it, so that rectified units compute
        the same, with more spikes.
    synapse : float or nengo.synapses.Synapse, optional
        Synapse of connections from neurons, and of probes of neurons. Where branches
        with different numbers of synapses meet, synapses are added to the shorter
        ones, so that all have the same delay.
    inference_only : bool
        Promise that the network will not be trained. Shared layers are then converted
        once for each call.
    max_to_avg_pool : bool
        Replace max pooling, which neurons do not compute, by average pooling.
    allow_fallback : bool
        Whether layers that cannot become Nengo objects become TensorNodes. Otherwise,
        they are an error.
    split_shared_weights : bool
        Give each call of a shared layer its own weights. By default, such layers become
        TensorNodes, which share weights.
    temporal_model : bool
        Use the first axis of the model's inputs as time, so that each time step of the
        simulation computes one element of it.
    initial_voltage : float or nengo.dists.Distribution, optional
        Initial voltage of spiking neurons, relative to their threshold. With 0.5, the
        first spikes come early enough [1]_. By default, Nengo draws random voltages.
    product_neurons : int, optional
        Number of neurons for each product in layers that multiply their inputs. By
        default, such layers become TensorNodes.

    Attributes
    ----------
    model : keras.Model
        The model.
    net : nengo.Network
        The network. Its trainable parameters are those of the model.
    inputs : Mapping
        Its input Nodes, by input tensor or layer of the model, name, or position.
    outputs : Mapping
        Its Probes, by output tensor or layer of the model, name, or position.
    layers : Mapping
        Its Nodes, Neurons and TensorNodes, by layer, output tensor of a layer, name, or
        position. A layer that is folded into the one before has the same object.
    report : ConversionReport
        What each layer became; ``print(converter.report)`` shows it, and
        ``converter.report.plot()`` draws it.

    Raises
    ------
    ValidationError
        If an argument is of the wrong kind, the model has no graph of layers, or a
        layer can become neither Nengo objects nor a TensorNode.

    Notes
    -----
    Batch normalization uses its moving averages. If it follows a layer with weights, it
    is folded into these weights, and training the network trains the product. Before
    neurons, biases become biases of the neurons: one for each neuron, also in
    convolutions. Layers that only act in training (dropout) are left out.

    References
    ----------
    .. [1] T. Bu, J. Ding, Z. Yu, T. Huang. Optimized potential initialization for
       low-latency spiking neural networks. AAAI 2022.

    Examples
    --------
    >>> import keras
    >>> model = keras.Sequential([
    ...     keras.Input((8, 8, 1)),
    ...     keras.layers.Conv2D(4, 3, activation="relu"),
    ...     keras.layers.Flatten(),
    ...     keras.layers.Dense(2),
    ... ])
    >>> nengo_dl.Converter(model).verify()
    True
    >>> converter = nengo_dl.Converter(
    ...     model,
    ...     swap_activations={"relu": nengo.SpikingRectifiedLinear()},
    ...     scale_firing_rates=100,
    ...     synapse=0.01,
    ... )
    >>> converter.layers[model.layers[0]]
    <Neurons ... of <Ensemble 'conv2d...' ...>>
    >>> images = np.random.RandomState(0).uniform(size=(5, 1, 64))
    >>> node, probe = converter.inputs[0], converter.outputs[0]
    >>> with nengo_dl.Simulator(converter.net, minibatch_size=5) as sim:
    ...     sim.run_steps(100, input_feeds={node: np.repeat(images, 100, axis=1)})
    >>> sim.data[probe].shape
    (5, 100, 2)
    """

    def __init__(
        self,
        model: keras.Model,
        swap_activations: Mapping[Any, NeuronType] | None = None,
        scale_firing_rates: float | Mapping[Any, float] | None = None,
        synapse: Any = None,
        inference_only: bool = False,
        max_to_avg_pool: bool = False,
        allow_fallback: bool = True,
        split_shared_weights: bool = False,
        temporal_model: bool = False,
        *,
        initial_voltage: Any = None,
        product_neurons: int | None = None,
    ):
        self._conversion = Conversion(
            model,
            Options(
                swap_activations,
                scale_firing_rates,
                synapse,
                inference_only,
                max_to_avg_pool,
                allow_fallback,
                split_shared_weights,
                temporal_model,
                initial_voltage,
                product_neurons,
            ),
        )
        graph, objects = self._conversion.graph, self._conversion.objects
        self._probes = {}
        with self._conversion.net:
            for tensor in graph.outputs:
                obj = objects[tensor]
                name = tensor.name if tensor.call is None else tensor.call.layer.name
                self._probes[tensor] = nengo.Probe(
                    obj, synapse=synapse if is_neural(obj) else None, label=name
                )
        self.inputs = ObjectsOfModel(
            "input", self._conversion, objects, model.inputs, graph.inputs
        )
        self.outputs = ObjectsOfModel(
            "output", self._conversion, self._probes, model.outputs, graph.outputs
        )
        layers = list({id(c.layer): c.layer for c in graph.calls}.values())
        tensors = [call.outputs[0] for call in graph.calls]
        self.layers = ObjectsOfModel(
            "layer", self._conversion, objects, layers, tensors
        )

    @property
    def model(self) -> keras.Model:
        """The Keras model."""
        return self._conversion.model

    @property
    def net(self) -> nengo.Network:
        """The network."""
        return self._conversion.net

    @property
    def report(self) -> ConversionReport:
        """What each layer became."""
        return self._conversion.report

    @staticmethod
    def register(*layer_types: type) -> Any:
        """Return a decorator that makes a class the converter of types of layers.

        Parameters
        ----------
        *layer_types : type
            Subclasses of `keras.Layer`. Their own subclasses are not converted by it.

        Returns
        -------
        callable
            A decorator for subclasses of `nengo_dl.interchange.keras.LayerConverter`,
            where there is an example.

        Raises
        ------
        ValidationError
            If one is not a layer type, or already has a converter.
        """
        return register(*layer_types)

    def verify(
        self,
        training: bool = False,
        inputs: Any = None,
        atol: float = 1e-8,
        rtol: float = 1e-5,
    ) -> bool:
        """Check that the network computes the same as the model.

        Parameters
        ----------
        training : bool
            Compare what both compute in training. Layers that behave differently then
            (dropout, batch normalization) are converted for inference.
        inputs : array_like, or list or dict of them, optional
            Inputs of the model, with an axis of the batch. Default: random numbers.
        atol, rtol : float
            Allowed difference: ``atol + rtol`` times the largest absolute value of an
            output.

        Returns
        -------
        bool
            True.

        Raises
        ------
        ValidationError
            If outputs differ more. The message names the first layer that differs, and
            says by how much.

        Examples
        --------
        >>> import keras
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> nengo_dl.Converter(model).verify(inputs=np.ones((1, 3)))
        True
        """
        return verify(self._conversion, self._probes, training, inputs, atol, rtol)
