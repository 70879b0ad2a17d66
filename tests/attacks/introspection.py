"""What an attack could find by looking around in its process. Imported there too, so it defines nothing else."""

import gc
import hashlib

import torch


def fingerprint(tensor):
    return hashlib.sha256(tensor.detach().cpu().contiguous().numpy().tobytes()).hexdigest()


def tensors_in_this_process():
    """Hashes of every tensor that this process can find."""
    found = set()
    for thing in gc.get_objects():
        try:
            if issubclass(type(thing), torch.Tensor) and thing.numel():
                found.add(fingerprint(thing))
        except ReferenceError:
            continue
    return found
