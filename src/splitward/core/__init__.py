"""The vocabulary of splitward: specifications, knowledge, protocols, runs, the registry and the errors.

Nothing here imports another package of ours.
"""
