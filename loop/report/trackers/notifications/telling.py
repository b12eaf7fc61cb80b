"""The detached process: one at a time, and each moment told once."""

import fcntl

from pydantic import JsonValue

from ....project.project import Project
from ....project.receipts import LoopFile
from ....rules.reading import Rules
from ....rules.schema import NotifyConfig
from ....store import journal
from ....store.paths import NOTIFICATIONS
from ....store.records import Record, load, save
from .moments import Moment, moments
from .sending import send

MEMORY = f"{NOTIFICATIONS}/memory.json"
_MOST_REMEMBERED = 200


class Told(Record):
    """Who is told, as the user's accepted rules `rules_sha256` say, and the keys of what was told already.

    `problem` is what was in the way of the last message; None where it arrived.
    """

    rules_sha256: str | None
    notify: NotifyConfig | None
    told: tuple[str, ...] = ()
    problem: str | None = None
    at: str


def tell(project: Project, stopped: str | None = None) -> None:
    """Tells what is new, and `stopped`, why a run ended, if given. Raises `LoopError` for what can't be read.

    Nothing is started and nothing sent on the word of rules that the user has not accepted: whoever can edit them must
    not thereby have a program run outside the sandbox. Of such rules themselves the program of those before is told.
    """
    loop = project.loop()
    if loop is None:
        return
    tree = project.workspace.tree
    tree.make_folder(NOTIFICATIONS)
    with tree.lock_file(f"{NOTIFICATIONS}/lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        rules = project.rules()
        known = _known(project, rules, loop)
        if known is None:
            return
        if (config := known.notify) is not None:
            found = [moment for moment in moments(project, rules, loop) if moment.key not in known.told]
            if stopped is not None:
                text = f"The run stopped: {stopped}"
                found.append(Moment(key=f"stopped {journal.now()}", event="stopped", text=text))
            for moment in found:
                problem = send(config, message(project, moment))
                told = (*known.told, moment.key)[-_MOST_REMEMBERED:]
                known = known.model_copy(update={"told": told, "problem": problem, "at": journal.now()})
        save(tree, MEMORY, known)


def message(project: Project, moment: Moment) -> dict[str, JsonValue]:
    """What is sent: the moment without its key, the project's name and folder, and when."""
    root = project.workspace.root
    told = moment.model_dump(mode="json", exclude={"key"}, exclude_none=True)
    told["text"] = f"{root.name}: {moment.text}"
    return {**told, "project": root.name, "folder": str(root), "at": journal.now()}


def _known(project: Project, rules: Rules, loop: LoopFile) -> Told | None:
    """Who is to be told: as the rules say where they are the accepted ones, else as they said when they last were."""
    known = load(project.workspace.tree, MEMORY, Told)
    if project.rules_decision(rules, loop) is None:
        told = known.told if known is not None else ()
        return Told(rules_sha256=rules.rules_sha256, notify=rules.file.notify, told=told, at=journal.now())
    return known if known is not None and known.rules_sha256 == loop.rules_sha256 else None
