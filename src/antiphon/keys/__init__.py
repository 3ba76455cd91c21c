"""Keys that are made at run time."""
