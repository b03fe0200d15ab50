"""The commands, a file for each room of the package; `command` makes them of options."""
