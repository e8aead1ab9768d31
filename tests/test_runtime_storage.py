import os
import stat

import numpy as np
import pytest

from omgrl_jax.runtime import storage


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(
    ("content", "stored"), [("é\r\n", b"\xc3\xa9\r\n"), (b"\x00\xff", b"\x00\xff")]
)
def test_writes_text_and_bytes_as_they_are(tmp_path, content, stored):
    path = storage.atomic_write(tmp_path / "new" / "file", content)
    assert path.read_bytes() == stored
    assert os.listdir(path.parent) == ["file"]


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_failure_leaves_the_old_content_and_nothing_else(tmp_path, monkeypatch, broken):
    path = storage.atomic_write(tmp_path / "file", "old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, broken, fail)
    with pytest.raises(OSError, match="disk full"):
        storage.atomic_write(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_content_is_on_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    order = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (order.append("sync"), fsync(fd)))
    monkeypatch.setattr(
        os, "replace", lambda *names: (order.append("name"), replace(*names))
    )
    storage.atomic_write(tmp_path / "file", "content")
    # The last one is that of the directory, which holds the name.
    assert order == ["sync", "name", "sync"]


def test_permissions_follow_the_umask_or_the_file_replaced(tmp_path):
    before = os.umask(0o027)
    try:
        path = storage.atomic_write(tmp_path / "file", "a")
        assert mode(path) == 0o640
        path.chmod(0o600)
        storage.atomic_write(path, "b")
        assert mode(path) == 0o600
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)


def test_arrays_come_back_without_pickle(tmp_path):
    arrays = {
        "file": np.arange(3, dtype=np.int32),
        "path": np.array(["a", "bc"]),
        "allow_pickle": np.float64(0.5),
        "empty": np.zeros((0, 2), bool),
    }
    path = storage.atomic_savez(tmp_path / "arrays.npz", **arrays)
    with np.load(path, allow_pickle=False) as loaded:
        assert set(loaded) == set(arrays)
        for name, array in arrays.items():
            assert loaded[name].dtype == array.dtype
            np.testing.assert_array_equal(loaded[name], array)


def test_same_arrays_give_the_same_file(tmp_path):
    one = storage.atomic_savez(tmp_path / "one", a=np.ones(5))
    two = storage.atomic_savez(tmp_path / "two", a=np.ones(5))
    assert one.read_bytes() == two.read_bytes()


def test_objects_are_refused_by_name(tmp_path):
    with pytest.raises(TypeError, match="'ragged'"):
        storage.atomic_savez(tmp_path / "x.npz", ragged=np.array(["a", None]))
    assert not os.listdir(tmp_path)


def test_restricted_directory_is_for_its_owner_alone(tmp_path):
    path = tmp_path / "deep" / "restricted"
    assert mode(storage.restricted_directory(path)) == 0o700
    path.chmod(0o755)
    storage.restricted_directory(path)
    assert mode(path) == 0o700


@pytest.fixture(params=["directory", "file"])
def worktree(tmp_path, request):
    """A work tree, and one of the linked kind whose `.git` is a file."""
    root = tmp_path / "repository"
    root.mkdir()
    if request.param == "directory":
        (root / ".git").mkdir()
    else:
        (root / ".git").write_text("gitdir: elsewhere")
    return root


def test_worktree_is_refused_with_the_flag_that_allows_it(worktree, tmp_path):
    for path in (worktree, worktree / "a" / "b"):
        with pytest.raises(storage.WorktreeError, match="--allow_worktree") as error:
            storage.refuse_git_worktree(path, False, "allow_worktree")
        assert str(path) in str(error.value)
    link = tmp_path / "link"
    (worktree / "a").mkdir()
    link.symlink_to(worktree / "a")
    with pytest.raises(storage.WorktreeError):
        storage.refuse_git_worktree(link / "b", False, "allow_worktree")
    # Neither of these raises.
    assert storage.refuse_git_worktree(worktree, True, "allow_worktree") is None
    assert storage.refuse_git_worktree(tmp_path / "x", False, "allow_worktree") is None


def test_relative_path_counts_from_where_the_user_stands(worktree, monkeypatch):
    (worktree / "a").mkdir()
    monkeypatch.chdir(worktree / "a")
    with pytest.raises(storage.WorktreeError):
        storage.refuse_git_worktree("out", False, "allow_worktree")
