"""Causes in what unpickling would do: names that the file wants called and that neither tensors nor plain data need."""
