"""Causes in what a model does, not in what it holds."""
