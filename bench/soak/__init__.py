"""A server under mixed traffic for a long time: `python -m bench.soak`."""
