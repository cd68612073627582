"""Causes in time: formats and habits of other releases of PyTorch and the libraries around it."""
