"""The peers that we measure ourselves against, each in a virtual environment of its own under bench/out/peers/.

    python bench/peers.py              says which are installed
    python bench/peers.py --install    installs what is missing (a few minutes, about 2 GB)

They are optional: a benchmark shows an absent one as absent. The requirements are pinned to what was measured, and to
what makes them start. They are installed without what only other parts of theirs need.
"""

import argparse
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

OUT = Path(__file__).resolve().parent / "out" / "peers"


@dataclass(frozen=True)
class Peer:
    """`bare` is installed without its own requirements, `needs` with theirs; `why` says what is unusual."""

    name: str
    bare: tuple[str, ...]
    needs: tuple[str, ...]
    why: str = ""

    @property
    def python(self) -> Path:
        return OUT / self.name / "bin" / "python"

    @property
    def marker(self) -> Path:
        """There once everything is installed."""
        return OUT / self.name / ".installed"

    @property
    def program(self) -> Path:
        return OUT / self.name / "bin" / self.name

    @property
    def installed(self) -> bool:
        return self.marker.exists() and self.marker.read_text(encoding="utf-8") == self.wanted

    @property
    def wanted(self) -> str:
        return "\n".join((*self.bare, *self.needs)) + "\n"

    def install(self) -> None:
        venv.create(OUT / self.name, clear=True, with_pip=True)
        pip = [str(self.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        if self.needs:
            subprocess.run([*pip, *self.needs], check=True)
        if self.bare:
            subprocess.run([*pip, "--no-deps", "--ignore-requires-python", *self.bare], check=True)
        self.marker.write_text(self.wanted, encoding="utf-8")


OPTUNA_MCP = Peer(
    "optuna-mcp",
    bare=("optuna-mcp==0.2.0",),
    needs=("mcp[cli]>=1.10,<2", "optuna>=4.2.1", "optuna-dashboard", "pandas", "plotly", "bottle", "kaleido==0.2.1"),
    why="mcp 2 has no fastmcp; asks for Python 3.12 and starts on 3.11; torch is not needed to serve",
)
MLLOOP = Peer("mlloop", bare=(), needs=("mlloop==0.0.4", "mcp<2"), why="mcp 2 has no fastmcp")
AIDE = Peer(
    "aideml",
    bare=("aideml==0.2.2",),
    needs=("humanize", "dataclasses-json", "shutup"),
    why="its interpreter only; its 60 other requirements are for the code that its models write",
)
OPENEVOLVE = Peer("openevolve", bare=(), needs=("openevolve==0.4.0",))
OPTUNA = Peer(
    "optuna",
    bare=(),
    needs=("optuna>=4.2.1",),
    why="imported by bench/against_optuna.py itself, behind everything of ours",
)
PEERS = (OPTUNA_MCP, MLLOOP, AIDE, OPENEVOLVE, OPTUNA)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--install", action="store_true")
    asked = parser.parse_args()
    failed = False
    for peer in PEERS:
        if asked.install and not peer.installed:
            print(f"{peer.name} ...", flush=True)
            try:
                peer.install()
            except subprocess.CalledProcessError:
                failed = True
        print(f"{peer.name:<12} {'installed' if peer.installed else 'absent':<10} {peer.why}", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
