"""The only owner of the disk: where things lie, how they are written whole, and how they know their parents."""
