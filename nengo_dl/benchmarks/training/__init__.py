"""Measures how fast and how large training is, against loops by hand and Keras."""
