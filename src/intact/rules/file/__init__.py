"""Causes in the bytes: what a file or folder is instead of a whole checkpoint."""
