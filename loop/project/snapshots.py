"""A version's snapshot: the script and every local module that it imports, as they were when it was trained."""

import hashlib

from ..script import local_imports
from .project import Project


def take_snapshot(project: Project, cur: int) -> dict[str, str]:
    """Copies the version's script and local modules aside; relative path -> sha256. Replaces an earlier snapshot."""
    workspace = project.workspace
    script = workspace.script(cur)
    modules = local_imports(workspace.root / script, workspace.root)
    names = [script, *(path.relative_to(workspace.root).as_posix() for path in modules)]
    workspace.tree.remove(workspace.snapshot(cur))
    hashes: dict[str, str] = {}
    for name in dict.fromkeys(names):
        data = workspace.tree.read(name)
        workspace.tree.write(f"{workspace.snapshot(cur)}/{name}", data)
        hashes[name] = hashlib.sha256(data).hexdigest()
    return hashes
