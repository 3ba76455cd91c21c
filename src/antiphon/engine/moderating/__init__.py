"""Texts and images are judged: those of a response, and those that a client asks about."""
