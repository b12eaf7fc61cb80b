"""A failed version's repair: the same version's script, or a local module that it imports (T4)."""

from ..errors import DocumentError
from ..project.integrity import require_intact
from ..project.project import Project
from ..project.receipts import Repair
from ..project.state import derive, require
from ..project.version import Version
from ..rehearse.rehearsal import is_repairable
from ..rules.checks import check_script
from ..rules.reading import Rules
from ..script import Script
from ..store import journal, transaction
from ..store.paths import version_id
from .guard import check_change, check_rules, patches_by_file
from .next_version import check_loop_dataset, read_parsed, sha256_of
from .patch import apply_patch


def repair_version(
    project: Project, cur: int, diff: str, *, root_cause: str, change_summary: str
) -> tuple[Repair, bool]:
    """Repairs the failed version's script, or a local module that it imports, under the rules (T4).

    Also that of a version that isn't trained yet, if its rehearsal found a problem.
    Returns the repair, and whether it was made before this call. Raises like `author_next_version`.
    """
    for name, text in (("root_cause", root_cause), ("change_summary", change_summary)):
        if not text.strip():
            raise DocumentError("is empty", where=name, hint="say it in a sentence; it goes into the retry report")
    rules = project.rules()
    with project.mutation():
        state = derive(project, rules)
        version = Version(project, cur)
        tried = (version.attempts("train") or version.attempts("rehearse")) if 1 <= cur <= state.cur else []
        if state.phase == "train" and cur == state.cur and tried and (repair := tried[-1].repair):
            return repair, True
        rehearsed = cur == state.cur and is_repairable(version) is not None
        loop = require(state, "repair_version", cur, *(("repair", "train") if rehearsed else ("repair",)))
        require_intact(project, rules, loop)
        Version(project, cur).require_authored()
        texts, real_diff = _repaired(project, rules, cur, diff)
        repair = Repair(
            root_cause_hypothesis=root_cause.strip(),
            code_change_summary=change_summary.strip(),
            files={name: sha256_of(text) for name, text in texts.items()},
            diff=real_diff,
            at=journal.now(),
        )
        workspace = project.workspace
        script = workspace.script(cur)
        kept = {f"{workspace.authored}/{script}": texts[script]} if script in texts else {}
        transaction.commit(
            workspace, new={}, changed=texts | kept, records={f"{tried[-1].relative}/repair.json": repair}
        )
        journal.record(workspace, "repaired", version_id(cur), files=", ".join(sorted(texts)))
        return repair, False


def _repaired(project: Project, rules: Rules, cur: int, diff: str) -> tuple[dict[str, str], str]:
    script = project.workspace.script(cur)
    texts: dict[str, str] = {}
    diffs: list[str] = []
    for name, patch in patches_by_file(project, script, diff).items():
        old = read_parsed(project, name)
        applied = apply_patch(old.text, patch, name=name)
        new = Script.parse(applied.text, name)
        if name == script:
            check_change(old, new, rules)
            check_loop_dataset(project, old, new)
            check_script(new, rules)
        else:
            check_rules(old, new, rules)
        texts[name] = applied.text
        diffs.append(applied.diff)
    return texts, "".join(diffs)
