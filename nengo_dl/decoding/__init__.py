"""Solving for decoders as Nengo does, but faster."""
