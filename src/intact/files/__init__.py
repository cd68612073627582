"""Bytes on disk: the only part that opens files."""
