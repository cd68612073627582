"""One file per cause, one folder per family; the table of all rules."""
