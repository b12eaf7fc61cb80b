"""The commit protocol, broken on purpose in ways that a kill can show: each must be caught by the sweep.

Every function here spoils the process that calls it; a fork of the driver is the only one that ever does.
"""

import os
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from progressive_training.loop.project.version import Version
from progressive_training.loop.store import journal, transaction
from progressive_training.loop.store.paths import Workspace
from progressive_training.loop.store.records import Record, dump
from progressive_training.loop.store.tree import Tree, split

_NOTHING: Mapping[str, str] = MappingProxyType({})


def write_in_place() -> None:
    """A file is emptied and then filled, where it stands."""

    def write(self: Tree, relative: str, data: bytes, *, durable: bool = True) -> None:
        _fill(self, relative, data)

    Tree.write = write


def create_without_exclusion() -> None:
    """A new file is looked for, opened and then filled, instead of linked whole."""

    def create(self: Tree, relative: str, data: bytes) -> bool:
        if self.kind(relative) is not None:
            return False
        _fill(self, relative, data)
        return True

    Tree.create = create


def no_intent() -> None:
    """What must appear together is written file by file, records last."""

    def commit(
        workspace: Workspace,
        *,
        new: Mapping[str, str],
        changed: Mapping[str, str],
        records: Mapping[str, Record],
        moved: Mapping[str, str] = _NOTHING,
    ) -> None:
        for source, target in moved.items():
            workspace.tree.move(source, target)
        for relative, text in (dict(new) | dict(changed)).items():
            workspace.tree.write(relative, text.encode())
        for relative, record in records.items():
            workspace.tree.write(relative, dump(record).encode())

    transaction.commit = commit


def records_before_files() -> None:
    """The receipt says that it is done before it is."""

    def commit(
        workspace: Workspace,
        *,
        new: Mapping[str, str],
        changed: Mapping[str, str],
        records: Mapping[str, Record],
        moved: Mapping[str, str] = _NOTHING,
    ) -> None:
        for source, target in moved.items():
            workspace.tree.move(source, target)
        for relative, record in records.items():
            workspace.tree.write(relative, dump(record).encode())
        for relative, text in (dict(new) | dict(changed)).items():
            workspace.tree.write(relative, text.encode())

    transaction.commit = commit


def receipt_before_document() -> None:
    """write_analysis and write_action save their receipt first."""
    put_off: list[tuple[Tree, str, bytes]] = []
    write, save = Tree.write, Version.save

    def late(self: Tree, relative: str, data: bytes, *, durable: bool = True) -> None:
        if relative.endswith(".md"):
            put_off.append((self, relative, data))
        else:
            write(self, relative, data)

    def early(self: Version, receipt: Record) -> None:
        save(self, receipt)
        for tree_, relative_, data in put_off:
            write(tree_, relative_, data)

    Tree.write = late
    Version.save = early


def no_recovery() -> None:
    """An intent that a crash left is never rolled forward."""

    def finish(workspace: Workspace) -> None:
        del workspace

    transaction.finish = finish


def moved_before_the_intent() -> None:
    """What was built aside is put in its place, and only then is it said that it will be."""
    commit = transaction.commit

    def early(
        workspace: Workspace,
        *,
        new: Mapping[str, str],
        changed: Mapping[str, str],
        records: Mapping[str, Record],
        moved: Mapping[str, str] = _NOTHING,
    ) -> None:
        for source, target in moved.items():
            workspace.tree.move(source, target)
        commit(workspace, new=new, changed=changed, records=records)

    transaction.commit = early


def staging_is_kept() -> None:
    """Nobody clears up after a writer that was killed."""

    def drop_staging(self: Tree, *, own: str, without: str) -> None:
        del self, own, without

    Tree.drop_staging = drop_staging


def journal_without_torn_tails() -> None:
    """A line is written in two pieces, and what a crash left of the last one is not looked at."""
    last = journal._last

    def append(self: Tree, relative: str, data: bytes, *, durable: bool = True) -> None:
        with self.path(relative).open("ab", buffering=0) as file:
            file.write(data[: len(data) // 2])
            file.write(data[len(data) // 2 :])

    def untorn(workspace: Workspace) -> tuple[int, bool]:
        return last(workspace)[0], False

    Tree.append = append
    journal._last = untorn


def journal_in_two_pieces() -> None:
    """No fault: a line torn by a kill, and the real journal that has to bear it."""

    def append(self: Tree, relative: str, data: bytes, *, durable: bool = True) -> None:
        with self.path(relative).open("ab", buffering=0) as file:
            file.write(data[: len(data) // 2])
            file.write(data[len(data) // 2 :])

    Tree.append = append


def _fill(tree: Tree, relative: str, data: bytes) -> None:
    *folder, name = split(relative)
    with tree.folder(tuple(folder), create=True) as handle:
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644, dir_fd=handle)
        os.write(file, data)
        os.close(file)


BROKEN: dict[str, Callable[[], Any]] = {
    function.__name__: function
    for function in (
        write_in_place,
        create_without_exclusion,
        no_intent,
        records_before_files,
        receipt_before_document,
        no_recovery,
        moved_before_the_intent,
        staging_is_kept,
        journal_without_torn_tails,
        journal_in_two_pieces,
    )
}
