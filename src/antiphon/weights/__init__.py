"""Weights of embedded models: which there are, where they come from, and what their files say.

Nothing here knows of responses or of servers. What goes wrong is a `WeightsError`, in words for people.
"""
