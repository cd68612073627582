"""Causes in the values themselves, whatever keys they stand under."""
