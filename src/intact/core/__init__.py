"""The records that pass between the stages: frozen, without I/O, without torch."""
