"""Metrics: compare a guess with the truth, per sample. One file a family; each class is found by its ``name``."""
