"""Network file systems are seen, the trash is bounded, and the reserve is given up only on a full disk."""

from pathlib import Path

import pytest

from progressive_training.loop.errors import ProjectError, RunError
from progressive_training.loop.project.disk import (
    give_up_reserve,
    mount_of,
    prune_trash,
    require_local,
    require_room,
    reserved,
)
from progressive_training.loop.project.project import Project
from progressive_training.loop.rules.execution import ExecutionConfig
from progressive_training.loop.store import lock
from progressive_training.loop.store.paths import Workspace

LOCAL = "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"


def mounted(kind: str, point: str = "/home/me/work", source: str = "server:/export") -> str:
    return f"{LOCAL}90 22 0:50 / {point} rw,relatime shared:9 master:2 - {kind} {source} rw,vers=4.2\n"


@pytest.mark.parametrize(
    "kind",
    ["nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "lustre", "gpfs", "ceph", "fuse.glusterfs", "beegfs", "fuse.s3fs"],
)
def test_a_project_on_a_network_file_system_is_refused_and_says_where_it_is_mounted(kind: str) -> None:
    place = Path("/home/me/work/a project")
    with pytest.raises(ProjectError) as refused:
        require_local(place, ExecutionConfig(), mountinfo=mounted(kind))
    assert f"({kind}, mounted at /home/me/work)" in str(refused.value)
    assert "allow_network_filesystem" in str(refused.value)
    require_local(place, ExecutionConfig(allow_network_filesystem=True), mountinfo=mounted(kind))


@pytest.mark.parametrize(
    "kind", ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "9p", "virtiofs", "fuse.bindfs", "apfs"]
)
def test_a_local_file_system_is_fine(kind: str) -> None:
    require_local(Path("/home/me/work/project"), ExecutionConfig(), mountinfo=mounted(kind))


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/home/me/work", "nfs4"),
        ("/home/me/work/deep/er", "nfs4"),
        ("/home/me/workshop", "ext4"),
        ("/home/me", "ext4"),
        ("/", "ext4"),
    ],
)
def test_the_innermost_mount_counts_by_whole_names(folder: str, kind: str) -> None:
    mount = mount_of(Path(folder), mounted("nfs4"))
    assert mount is not None and mount.kind == kind


def test_the_later_of_two_mounts_on_one_point_counts_and_escapes_are_read() -> None:
    text = mounted("nfs4", r"/mnt/two\040words") + mounted("ext4", r"/mnt/two\040words", "/dev/sdb")
    mount = mount_of(Path("/mnt/two words/x"), text)
    assert mount is not None and (mount.kind, mount.source) == ("ext4", "/dev/sdb")
    assert mount_of(Path("/x"), "nonsense\n\n") is None


def test_what_this_machine_says_is_understood(tmp_path: Path) -> None:
    require_local(tmp_path.resolve(), ExecutionConfig())
    assert mount_of(tmp_path.resolve(), Path("/proc/self/mountinfo").read_text()) is not None


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    root = tmp_path / "나의 project's 폴더"
    root.mkdir()
    with lock.locked(Workspace(root)):
        return Workspace(root)


def put(workspace: Workspace, name: str, size: int) -> None:
    workspace.tree.write(f"{workspace.trash}/{name}/logs/version_0/best.ckpt", bytes(size))


MIB = 1 << 20
LIMIT = ExecutionConfig(trash_gb=2.5 / 1024)


def test_the_trash_loses_its_oldest_first_until_the_rest_fits(workspace: Workspace) -> None:
    # Written in another order than their attempts: neither names as text nor times decide.
    for name in ("v010-train-001", "v002-train-002", "v002-train-010", "v1000-train-001", "v002-eval-001"):
        put(workspace, name, MIB)
    assert prune_trash(workspace, LIMIT) == ("v002-train-002", "v002-train-010", "v002-eval-001")
    assert workspace.tree.names(workspace.trash) == ["v010-train-001", "v1000-train-001"]
    assert prune_trash(workspace, LIMIT) == ()


def test_a_trash_of_size_0_keeps_nothing_and_a_link_in_it_is_not_followed(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/precious").write_bytes(bytes(9 * MIB))
    put(workspace, "v001-train-001", 1)
    (workspace.root / workspace.trash / "v001-train-001/out").symlink_to(tmp_path / "mine")
    assert prune_trash(workspace, LIMIT) == ()
    assert prune_trash(workspace, ExecutionConfig(trash_gb=0)) == ("v001-train-001",)
    assert (tmp_path / "mine/precious").stat().st_size == 9 * MIB


def test_an_empty_trash_is_fine(workspace: Workspace) -> None:
    assert prune_trash(workspace, ExecutionConfig(trash_gb=0)) == ()


def test_too_little_room_is_refused_with_both_numbers(workspace: Workspace) -> None:
    require_room(workspace, ExecutionConfig(min_free_gb=0))
    with pytest.raises(RunError) as refused:
        require_room(workspace, ExecutionConfig(min_free_gb=1_000_000))
    assert "GiB are free" in str(refused.value) and "1e+06" in str(refused.value)


def test_the_reserve_is_real_and_stays_while_there_is_room(workspace: Workspace) -> None:
    reserve = workspace.root / ".progressive-training/reserve"
    with reserved(workspace):
        assert reserve.stat().st_blocks * 512 >= 4 * MIB
        first = reserve.read_bytes()
    with reserved(workspace):
        pass
    with pytest.raises(RunError), reserved(workspace):
        raise RunError("nothing was started", hint="call again")
    assert reserve.read_bytes() == first
    assert not give_up_reserve(workspace)
    assert reserve.exists()


def test_a_project_looks_at_its_file_system_when_it_is_first_changed(tmp_path: Path) -> None:
    project = Project(tmp_path)
    with project.mutation():
        pass
    assert (tmp_path / ".progressive-training/lock").exists()
