"""Defences: random maps on the device, before the wire. One file a family; each class is found by its ``name``."""
