"""What a script says when something isn't there that it takes for granted."""

import pytest

from progressive_training.loop.rehearse.outcome import needs

SAID = {
    "RuntimeError: Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU": "needs_gpu",
    "AssertionError: Torch not compiled with CUDA enabled": "needs_gpu",
    "MisconfigurationException: No supported gpu backend found!": "needs_gpu",
    "MisconfigurationException: You requested gpu: [0, 1]": "needs_gpu",
    "RuntimeError: 0 active drivers ([]). There should only be one.": "needs_gpu",
    "urllib.error.URLError: <urlopen error [Errno -3] Temporary failure in name resolution>": "needs_network",
    "OSError: We couldn't connect to 'https://huggingface.co' to load the files": "needs_network",
    "huggingface_hub.errors.LocalEntryNotFoundError: An error happened while trying to locate": "needs_network",
    "httpx.ConnectError: [Errno 101] Network is unreachable": "needs_network",
    "train.py: error: the following arguments are required: --data": "needs_arguments",
    "Error: Missing option '--data'.": "needs_arguments",
    "ModuleNotFoundError: No module named 'timm'": "needs_package",
    "KeyError: 'label_map'": None,
    "FileNotFoundError: [Errno 2] No such file or directory: 'weights.pt'": None,
}


@pytest.mark.parametrize("said", SAID)
def test_the_last_words_say_what_is_lacking(said: str) -> None:
    assert needs(said) == SAID[said]
