"""What a response costs: Antiphon beside a proxy that does nothing, in one run.

`python -m bench` runs everything, `python -m bench --quick` what a closing note needs, and
`python -m bench.profile` tells where the cycles go. Each server and the load have a process of their own,
so that the processor time of one says nothing of another.
"""
