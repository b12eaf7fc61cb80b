"""A project on several file systems, with real mounts: everything is published all the same."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import support

_PROGRAM = Path(support.__path__[0]) / "mounted_loops.py"
pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0 or shutil.which("unshare") is None,
    reason="mounting needs root on Linux",
)


def test_a_loop_comes_to_its_report_on_any_layout_of_mounts(tmp_path: Path) -> None:
    command = ["unshare", "-m", sys.executable, str(_PROGRAM), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    found: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == 3
    for one in found:
        assert one["states"] == ["killed", "done", "done", "done"], one
        assert one["kept"] and one["wiped"] and one["shown"] and not one["left over"], one
        assert one["bundle"] == ["additional_assets", "best.ckpt", "spec.json"], one
    said = {one["name"]: one["doctor"][0] for one in found}
    assert said["everything apart"]["status"] == "note" and "Models on tmpfs at " in said["everything apart"]["detail"]
    assert said["an overlay"]["status"] == "ok" and "the project on overlay" in said["an overlay"]["detail"]
