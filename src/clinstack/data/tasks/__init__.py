"""One file per outcome task; the folder is the table (`data/outcome.py`)."""
