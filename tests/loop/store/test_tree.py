"""The one way to open, write and move: confined to the project, all or nothing."""

import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from progressive_training.loop.errors import ProjectError, UnsafePath
from progressive_training.loop.store.tree import Tree


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    root = tmp_path / "나의 tree"
    root.mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.txt").write_text("secret")
    return Tree(root)


def outside(tree: Tree) -> dict[str, str]:
    return {path.name: path.read_text() for path in (tree.root.parent / "outside").iterdir()}


@pytest.mark.parametrize(
    "path", ["../outside/secret.txt", "/etc/passwd", "a/../../x", "", ".", "a//b", "a/", "a\0b", "./a"]
)
def test_a_path_that_is_not_plain_is_refused_before_anything_is_opened(tree: Tree, path: str) -> None:
    for act in (tree.read, tree.remove, tree.make_folder, tree.kind, tree.names, lambda p: tree.write(p, b"x")):  # pyright: ignore
        with pytest.raises(UnsafePath, match="plain path"):
            act(path)
    assert outside(tree) == {"secret.txt": "secret"}


ACTS: dict[str, Callable[[Tree, str], object]] = {
    "read": lambda tree, path: tree.read(path),
    "write": lambda tree, path: tree.write(path, b"x"),
    "create": lambda tree, path: tree.create(path, b"x"),
    "append": lambda tree, path: tree.append(path, b"x"),
    "remove": lambda tree, path: tree.remove(path),
    "make_folder": lambda tree, path: tree.make_folder(path),
    "move": lambda tree, path: tree.move("mine.txt", path),
    "copy": lambda tree, path: tree.copy("mine.txt", path),
}


@pytest.mark.parametrize("act", ACTS)
def test_a_linked_folder_leads_nowhere(tree: Tree, act: str) -> None:
    tree.write("mine.txt", b"mine")
    (tree.root / "link").symlink_to(tree.root.parent / "outside")
    with pytest.raises(UnsafePath, match="not a link"):
        ACTS[act](tree, "link/secret.txt")
    assert outside(tree) == {"secret.txt": "secret"}


def test_a_linked_file_is_not_read_and_writing_replaces_the_link_alone(tree: Tree) -> None:
    secret = tree.root.parent / "outside" / "secret.txt"
    (tree.root / "link").symlink_to(secret)
    assert tree.kind("link") == "link" and not tree.is_file("link")
    with pytest.raises(UnsafePath):
        tree.read("link")
    with pytest.raises(OSError):
        tree.append("link", b"x")
    assert not tree.create("link", b"x")
    tree.write("link", b"new")
    assert (tree.read("link"), secret.read_text()) == (b"new", "secret")


def test_a_pipe_or_a_folder_in_a_files_place_is_refused_and_never_blocks(tree: Tree) -> None:
    os.mkfifo(tree.root / "pipe")
    tree.make_folder("folder")
    assert tree.kind("pipe") == "other"
    for name in ("pipe", "folder"):
        with pytest.raises(UnsafePath):
            tree.read(name)
    with pytest.raises(UnsafePath, match="is a folder"):
        tree.write("folder", b"x")
    assert sorted(path.name for path in tree.root.iterdir()) == ["folder", "pipe"]


def test_a_write_replaces_the_whole_and_leaves_no_staging_file(tree: Tree) -> None:
    tree.write("a/b/c.txt", b"one")
    tree.write("a/b/c.txt", b"two")
    assert tree.read("a/b/c.txt") == b"two"
    assert [path.name for path in (tree.root / "a" / "b").iterdir()] == ["c.txt"]


def test_only_one_of_two_creations_wins(tree: Tree) -> None:
    assert tree.create("x", b"first") and not tree.create("x", b"second")
    assert tree.read("x") == b"first"
    assert [path.name for path in tree.root.iterdir()] == ["x"]


def test_what_is_not_there_is_none_empty_or_false_and_reading_it_says_so(tree: Tree) -> None:
    assert tree.kind("a/b") is None and tree.names("a/b") == []
    assert not tree.move("a", "b")
    tree.remove("a/b")
    with pytest.raises(FileNotFoundError):
        tree.read("a/b")


def test_removing_a_folder_deletes_links_in_it_and_not_what_they_name(tree: Tree) -> None:
    tree.write("folder/deep/file.txt", b"x")
    (tree.root / "folder" / "link").symlink_to(tree.root.parent / "outside")
    tree.remove("folder")
    assert tree.kind("folder") is None and outside(tree) == {"secret.txt": "secret"}


def test_copying_a_folder_with_a_link_in_it_is_refused(tree: Tree) -> None:
    tree.write("folder/file.txt", b"x")
    (tree.root / "folder" / "link").symlink_to(tree.root.parent / "outside" / "secret.txt")
    with pytest.raises(UnsafePath):
        tree.copy("folder", "copy")


def test_a_small_file_takes_little_room_however_large_it_might_have_been(tree: Tree) -> None:
    tree.write("small", b"x" * 1000)
    tracemalloc.start()
    assert tree.read("small", limit=4 << 30) == b"x" * 1000
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 1 << 20


def test_a_file_above_the_limit_is_refused(tree: Tree) -> None:
    tree.write("big", b"x" * 11)
    assert tree.read("big", limit=11)
    with pytest.raises(ProjectError, match="larger than 10 bytes"):
        tree.read("big", limit=10)


def test_staging_files_of_a_crash_are_not_listed(tree: Tree) -> None:
    tree.write("f/한글.txt", b"x")
    (tree.root / "f" / ".staging-123").write_text("torn")
    assert tree.names("f") == ["한글.txt"]


def test_a_thousand_folders_within_one_another_are_removed(tmp_path: Path) -> None:
    handle = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1_500):
        os.mkdir("d", dir_fd=handle)
        inner = os.open("d", os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = inner
    os.close(handle)
    Tree(tmp_path).remove("d")
    assert not any(tmp_path.iterdir())
