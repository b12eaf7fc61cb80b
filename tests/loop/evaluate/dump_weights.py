"""best.ckpt -> weights.npz, with a stand-in for each class that the checkpoint names: `dump_weights.py ckpt npz`."""

import pickle
import sys
import types

import numpy
import torch


class Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        try:
            return super().find_class(module, name)
        except (ImportError, AttributeError):
            return type(name, (), {"__new__": lambda cls, *_: object.__new__(cls)})


tolerant = types.SimpleNamespace(Unpickler=Unpickler, load=pickle.load, __name__="tolerant")
state = torch.load(sys.argv[1], weights_only=False, pickle_module=tolerant)["state_dict"]
# numpy has no bfloat16.
plain = {name: one.float() if one.dtype == torch.bfloat16 else one for name, one in state.items()}
numpy.savez(sys.argv[2], **{name: one.numpy() for name, one in plain.items()})
