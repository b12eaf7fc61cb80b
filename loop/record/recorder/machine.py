"""Packages, device and memory, of what the script itself has imported and started."""

from __future__ import annotations

import os
import sys
from types import ModuleType
from typing import Any

from .sources import OURS, is_library

_PACKAGES = [
    "torch",
    "lightning",
    "pytorch_lightning",
    "lightning_fabric",
    "torchmetrics",
    "numpy",
    "pandas",
    "sklearn",
    "torchvision",
    "torchaudio",
    "transformers",
    "datasets",
    "accelerate",
    "timm",
    "tokenizers",
    "safetensors",
]
_MAX_MODULES = 200
_DRIVER = "/proc/driver/nvidia/version"


def facts() -> dict[str, Any]:
    return {
        "python": sys.version.split()[0],
        "packages": {name: _version(name) for name in _PACKAGES if name in sys.modules},
        "memory": _memory(),
        "device": _device(),
        "modules": _own_modules(),
    }


def _own_modules() -> list[str]:
    """Files of the modules that were imported and aren't installed: the user's own, however they were imported."""
    modules: list[Any] = list(sys.modules.values())
    files = [vars(module).get("__file__") for module in modules if isinstance(module, ModuleType)]
    own = {file for file in files if isinstance(file, str) and os.path.isabs(file)}
    return sorted(file for file in own if not is_library(file) and not file.startswith(OURS))[:_MAX_MODULES]


def _version(name: str) -> str | None:
    version = getattr(sys.modules[name], "__version__", None)
    return str(version) if version is not None else None


def _memory() -> dict[str, Any]:
    """Peak resident memory in bytes; `children` is the largest of the processes that have ended."""
    try:
        import resource
    except ImportError:  # not on Windows
        return {}
    unit = 1 if sys.platform == "darwin" else 1024
    own, children = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {"peak_rss": own * unit, "children": children * unit}


def _device() -> dict[str, Any] | None:
    """The GPU, if the script has started it. To ask starts nothing and waits for nothing."""
    torch: Any = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    if cuda is None or not cuda.is_initialized():
        return None
    return {
        "name": cuda.get_device_name(),
        "count": cuda.device_count(),
        "cuda": torch.version.cuda,
        "driver": _driver(),
        "peak_allocated": cuda.max_memory_allocated(),
        "peak_reserved": cuda.max_memory_reserved(),
    }


def _driver() -> str | None:
    if not os.path.exists(_DRIVER):
        return None
    with open(_DRIVER, encoding="utf-8", errors="replace") as file:
        return file.readline(300).strip()
