"""Files that are either whole or absent, and places where patients may be kept.

A reader never sees a half-written file: everything is written beside its destination
and moved there in one step. Nothing is pickled.
"""

import contextlib
import io
import os
import pathlib
import tempfile
import zipfile

import numpy as np

from omgrl_jax.runtime.errors import RunError

PathLike = str | os.PathLike[str]


class WorktreeError(RunError):
    """Patient-level output was about to be written inside a git work tree."""


def atomic_write(path: PathLike, content: bytes | str) -> pathlib.Path:
    """Writes a file so that a crash leaves the old content or the new, never half.

    The bytes go to a temporary file in the same directory (a rename is atomic only
    within one file system), reach the disk, and then take the name of `path`.
    Permissions of a file that is replaced are kept; a new file follows the umask.

    Args:
      path: destination; missing parent directories are made.
      content: text is encoded as UTF-8, without translating line ends.

    Returns:
      The destination.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask()
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise
    _sync_directory(path.parent)
    return path


def atomic_savez(path: PathLike, /, **arrays: np.ndarray) -> pathlib.Path:
    """Writes named arrays as one compressed `.npz`, atomically and without pickle.

    The same arrays always give the same bytes. Any name will do, also one that is an
    argument of `numpy.savez` (`file`), which is why that is not used.

    Args:
      path: destination, used as it stands (no suffix is added).
      **arrays: anything numpy turns into an array of numbers, booleans or text.

    Returns:
      The destination.

    Raises:
      TypeError: if an array holds Python objects, which only pickle could store.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, values in arrays.items():
            array = np.asarray(values)
            if array.dtype.hasobject:
                raise TypeError(
                    f"{path}: array {name!r} holds Python objects; convert it to "
                    "numbers or fixed-width text before saving."
                )
            entry = zipfile.ZipInfo(f"{name}.npy")
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
    return atomic_write(path, buffer.getvalue())


def restricted_directory(path: PathLike) -> pathlib.Path:
    """Makes a directory that only its owner may open (mode 0700).

    Args:
      path: the directory; an existing one has its mode tightened.

    Returns:
      The directory.
    """
    path = pathlib.Path(path)
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    # mkdir keeps the mode of a directory that exists already.
    path.chmod(0o700)
    return path


def refuse_git_worktree(path: PathLike, allow: bool, flag: str) -> None:
    """Stops before patient-level output could be committed by accident.

    Args:
      path: where the output would go; it need not exist. Links are followed.
      allow: the user's explicit consent.
      flag: name of the flag that gives this consent, without dashes.

    Raises:
      WorktreeError: if `path` lies in a git work tree and `allow` is false.
    """
    if allow:
        return
    place = pathlib.Path(path).resolve()
    for folder in (place, *place.parents):
        # In linked work trees and submodules `.git` is a file.
        if (folder / ".git").exists():
            raise WorktreeError(
                f"{path} lies inside the git work tree {folder}: patient-level output "
                "there could be committed by accident. Choose a directory outside of "
                f"it, or pass --{flag} if you are sure."
            )


def _umask() -> int:
    # The mask can only be read by setting it.
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_directory(path: pathlib.Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
