"""Kernels of products: dense, sparse, with spikes as events, convolutions."""

from nengo_dl.builders.products import convolutions, dense, sparse

__all__ = ["convolutions", "dense", "sparse"]
