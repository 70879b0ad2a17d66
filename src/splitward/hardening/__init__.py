"""Defences that are trained: one file a method (found by its ``name``), the training, and the search."""
