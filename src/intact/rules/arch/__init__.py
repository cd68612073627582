"""Causes in the architecture: names, order, nesting, sizes and classes that differ between file and model."""
