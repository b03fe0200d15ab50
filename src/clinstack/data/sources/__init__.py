"""One file (or folder) per kind of raw data."""
