"""Which packages scores are computed with belongs to the protocol; another version of one is a warning."""

from pathlib import Path

from progressive_training.loop.project.evaluation_protocol import packages
from progressive_training.loop.project.project import Project
from progressive_training.loop.project.version import Version
from progressive_training.loop.record.facts import ProcessFacts
from progressive_training.loop.record.parts import Device
from progressive_training.loop.record.ranks import RunFacts, merged
from progressive_training.loop.train.findings import findings
from progressive_training.loop.train.verdicts import Run


def test_the_versions_are_those_in_the_users_interpreter_which_is_not_started(tmp_path: Path) -> None:
    (tmp_path / "user_defined_rules.json").write_text("{}")
    site = tmp_path / ".venv/lib/python3.12/site-packages"
    for name in ("torch-2.9.0+cu128", "torchmetrics-1.8.2", "pytorch_lightning-2.6.1", "ruff-0.14.0"):
        (site / f"{name}.dist-info").mkdir(parents=True)
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir()
    python.write_text("#!/bin/false\n")
    python.chmod(0o755)
    project = Project(tmp_path)
    expected = {"torch": "2.9.0+cu128", "torchmetrics": "1.8.2", "pytorch-lightning": "2.6.1"}
    assert packages(project, project.rules()) == expected


def _facts(torch: str, gpu: str | None) -> RunFacts:
    device = Device(name=gpu, count=1) if gpu else None
    return merged([ProcessFacts(schema=1, pid=1, packages={"torch": torch, "numpy": "2.0"}, device=device, ended=True)])


def test_another_torch_or_gpu_than_the_parents_is_a_warning(tmp_path: Path) -> None:
    version = Version(Project(tmp_path), 2)
    run = Run(_facts("2.9.0", "H200"), "v002", _facts("2.8.0", None))
    said = [str(one) for one in findings(version, run, ()) if one.key == "other_environment"]
    assert len(said) == 1 and "than v001 (torch 2.8.0 → 2.9.0, no GPU → H200)" in said[0]
    same = Run(_facts("2.9.0", None), "v002", _facts("2.9.0", None))
    assert not [one for one in findings(version, same, ()) if one.key == "other_environment"]
