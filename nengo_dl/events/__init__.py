"""Spikes as events: what probes recorded, and what networks are fed with."""

from nengo_dl.events.binning import bin_events
from nengo_dl.events.event_array import EventArray
from nengo_dl.events.times import spike_times

__all__ = ["EventArray", "bin_events", "spike_times"]
