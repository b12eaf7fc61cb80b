"""The programs that tests need beside Python: the one list of them, who looks for one, and what brings it.

    python tests/support/programs.py    installs what is missing, where it may: as root, with apt

A test that needs one asks `need`. Where it is missing the test is left out, and the last line of the run says so; in CI
(`CI` is set) it fails.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence

# Program: Debian's package.
PROGRAMS = {
    "bwrap": "bubblewrap",
    "strace": "strace",
    "faketime": "faketime",
    "npm": "npm",
    "chromium": "chromium",
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "sbatch": "slurm-client",
    "munged": "munge",
    "git": "git",
}
SLURM = ("slurmctld", "slurmd", "sbatch", "munged")
ROOT = "root's rights"
LEFT_OUT = "left out for want of "


def found(program: str) -> str | None:
    """Where it is; daemons lie where an ordinary PATH doesn't lead."""
    return shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"]))


def in_ci() -> bool:
    return os.environ.get("CI", "") not in ("", "0", "false")


def need(*programs: str) -> None:
    """Leaves the test that asks out where one of them is missing; in CI it fails. `ROOT` is a need too."""
    lacking = [name for name in programs if not (os.geteuid() == 0 if name == ROOT else found(name))]
    leave_out(lacking)


def leave_out(lacking: Sequence[str]) -> None:
    """As `need`, with what is missing."""
    import pytest

    if lacking:
        (pytest.fail if in_ci() else pytest.skip)(f"{LEFT_OUT}{', '.join(lacking)}")


def told(reasons: Iterable[str]) -> str | None:
    """One line about the tests that were left out for these reasons; None if there are none."""
    wanted = [reason.partition(LEFT_OUT)[2] for reason in reasons if LEFT_OUT in reason]
    if not wanted:
        return None
    names = sorted({name for line in wanted for name in line.split(", ")})
    packages = [PROGRAMS[name] for name in names if name in PROGRAMS]
    apart = [name for name in names if name not in PROGRAMS]
    ways = [f"`sudo apt-get install {' '.join(packages)}`"] if packages else []
    ways += [f"a run as root, for {ROOT}"] if ROOT in apart else []
    ways += [f"`make test` once more, for {name}" for name in apart if name != ROOT]
    return f"{len(wanted)} tests were left out for want of {', '.join(names)}. What brings them: {'; '.join(ways)}"


def main() -> None:
    missing = [name for name in PROGRAMS if not found(name)]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        packages = [PROGRAMS[name] for name in missing]
        print(f"Installing {' '.join(packages)} …", flush=True)
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-qq"], env=quiet, check=False)
        # One that this system doesn't have must not keep the others out.
        if subprocess.run(["apt-get", "install", "-y", "-qq", *packages], env=quiet, check=False).returncode != 0:
            for package in packages:
                subprocess.run(["apt-get", "install", "-y", "-qq", package], env=quiet, check=False)
        missing = [name for name in missing if not found(name)]
    if missing and in_ci():
        sys.exit(f"missing, and CI leaves no test out: {' '.join(missing)}")


if __name__ == "__main__":
    main()
