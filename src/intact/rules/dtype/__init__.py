"""Causes in the element types: what a cast between the file's dtype and the model's does to the values."""
