"""The `intact` command: one file for each of its verbs. Nothing here is imported by the package."""
