"""Keys that are made at run time, and the limits of all keys."""
