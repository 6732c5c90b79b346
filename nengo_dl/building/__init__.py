"""From a network to Nengo's model: decoders, least squares and rates."""
