"""Nengo's cache of decoders, which looks for those of one ensemble in less time."""

from __future__ import annotations

import hashlib
import struct
from typing import Any

import nengo.cache
import numpy as np
from nengo.cache import Fingerprint
from nengo.rc import rc

__all__ = ["DecoderCache", "Projection", "default_decoder_cache"]


class Projection:
    """Evaluation points projected on encoders, computed when they are needed.

    Parameters
    ----------
    points : numpy.ndarray
        Evaluation points, shape ``(n_points, dimensions)``.
    encoders : numpy.ndarray
        Encoders, shape ``(n_neurons, dimensions)``.
    radius : float
        Radius of the ensemble.

    Attributes
    ----------
    hashed : dict
        Hashes of the neurons and of this projection, by solver and neuron type; see
        `DecoderCache`.
    """

    def __init__(self, points: np.ndarray, encoders: np.ndarray, radius: float):
        self._points, self._encoders, self._radius = points, encoders, radius
        self._array: np.ndarray | None = None
        self.hashed: dict[bytes, Any] = {}

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Return the inputs of neurons, shape ``(n_points, n_neurons)``."""
        if self._array is None:
            self._array = np.dot(self._points, self._encoders.T / self._radius)
        return np.array(self._array, dtype, copy=copy)

    def free(self) -> None:
        """Free the array. It is computed again if it is needed again."""
        self._array = None


class DecoderCache(nengo.cache.DecoderCache):
    """Nengo's cache of decoders: the same files, and the same keys.

    A key is a hash of all numbers that decoders depend on. Those of the neurons and the
    evaluation points are the most, and the connections from one ensemble share them:
    they are hashed once for each ensemble. Hashing them for each connection takes
    longer than solving does, up to some hundred neurons.

    Takes a `Projection` in the place of the points projected on encoders.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._fingerprints: dict[int, tuple[Any, bytes]] = {}

    def _get_cache_key(
        self,
        solver: Any,
        neuron_type: Any,
        gain: np.ndarray,
        bias: np.ndarray,
        x: np.ndarray | Projection,
        targets: np.ndarray,
        rng: Any,
    ) -> str:
        if not isinstance(x, Projection):
            key: str = super()._get_cache_key(
                solver, neuron_type, gain, bias, x, targets, rng
            )
            return key
        key_hash = self._hash_of_neurons(solver, neuron_type, gain, bias, x).copy()
        key_hash.update(np.ascontiguousarray(targets).data)
        name, keys, position, has_gauss, gauss = rng.get_state()
        key_hash.update(name.encode())
        key_hash.update(keys.data)
        key_hash.update(struct.pack("qqd", position, has_gauss, gauss))
        return key_hash.hexdigest()

    def _hash_of_neurons(
        self,
        solver: Any,
        neuron_type: Any,
        gain: np.ndarray,
        bias: np.ndarray,
        x: Projection,
    ) -> Any:
        """Return the hash of what the connections from an ensemble share."""
        kinds = self._fingerprint(solver) + self._fingerprint(neuron_type)
        if kinds not in x.hashed:
            common = x.hashed[kinds] = hashlib.sha1(kinds, usedforsecurity=False)
            for numbers in (gain, bias, x):
                common.update(np.ascontiguousarray(numbers).data)
        return x.hashed[kinds]

    def _fingerprint(self, obj: Any) -> bytes:
        """Return Nengo's fingerprint; Nengo's own objects never change theirs."""
        if not type(obj).__module__.startswith("nengo."):
            return str(Fingerprint(obj)).encode("utf-8")
        known = self._fingerprints.get(id(obj))
        if known is None:
            known = obj, str(Fingerprint(obj)).encode("utf-8")
            self._fingerprints[id(obj)] = known
        return known[1]


def default_decoder_cache() -> nengo.cache.DecoderCache | nengo.cache.NoDecoderCache:
    """Return the cache that ``nengo.rc["decoder_cache"]`` asks for."""
    if rc["decoder_cache"].getboolean("enabled"):
        return DecoderCache(rc["decoder_cache"].getboolean("readonly"))
    return nengo.cache.NoDecoderCache()
