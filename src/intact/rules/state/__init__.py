"""Causes in what belongs to training: averages, optimizers, schedulers and counters beside the weights."""
