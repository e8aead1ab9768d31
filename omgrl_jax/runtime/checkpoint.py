"""Checkpoints of a whole run: state, keys, step, metrics so far, configuration.

The only file that knows orbax. A checkpoint is written under a temporary name and
renamed when complete, so a process killed at any moment leaves either the whole
checkpoint or none; what is left half-written is ignored and removed.
"""

import json
import logging
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from omgrl_jax.runtime import packing, storage
from omgrl_jax.runtime.errors import RunError

_VERSION = 1


class CheckpointError(RunError):
    """A checkpoint cannot be used, or does not belong to this run."""


class Saved(NamedTuple):
    """What a checkpoint holds.

    Attributes:
      step: updates done.
      state: the algorithm's whole state, PRNG keys included.
      history: nested dictionaries of numpy arrays, the metrics up to `step`.
    """

    step: int
    state: Any
    history: Any


class Checkpoints:
    """The checkpoints of one run, in one directory.

    Attributes:
      directory: where they lie, one numbered folder each.
    """

    def __init__(
        self,
        directory: storage.PathLike,
        config: Mapping[str, Any] | None = None,
        keep: int = 2,
    ):
        """Opens a directory of checkpoints, and makes it if it is missing.

        Args:
          directory: the folder of this run alone.
          config: what the result depends on (hyper-parameters, seed, the data set's
            content hash), as values that JSON can hold. Resuming under another
            configuration is refused.
          keep: how many of the newest checkpoints stay.

        Raises:
          ValueError: if fewer than one would be kept.
        """
        if keep < 1:
            raise ValueError(f"keep must be at least 1, not {keep}.")
        self.directory = pathlib.Path(directory).resolve()
        # Through JSON and back, so that it compares with what was stored (tuples are
        # lists there), and so that a value JSON cannot hold is found at the start.
        self._config = json.loads(json.dumps(dict(config or {})))
        self._manager = _manager(self.directory, keep)

    def latest_step(self) -> int | None:
        """Returns the step of the newest complete checkpoint, or None."""
        return self._manager.latest_step()

    def save(self, step: int, state: Any, history: Any) -> None:
        """Writes one checkpoint and returns when it is complete.

        Args:
          step: updates done; must be larger than that of any checkpoint so far.
          state: pytree of arrays and typed PRNG keys.
          history: nested dictionaries of arrays, each with at least one element.
        """
        meta = {"version": _VERSION, "step": step, "config": self._config}
        written = self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.PyTreeSave(jax.device_get(packing.pack(state))),
                history=ocp.args.PyTreeSave(history),
                meta=ocp.args.JsonSave(meta),
            ),
        )
        self._manager.wait_until_finished()
        if not written:
            raise CheckpointError(
                f"{self.directory}: step {step} is not after the newest checkpoint "
                f"({self.latest_step()})."
            )

    def restore(self, template: Any) -> Saved | None:
        """Reads the newest complete checkpoint.

        Args:
          template: pytree of arrays or of `jax.ShapeDtypeStruct` with the structure,
            shapes and types of the state (`jax.eval_shape` of `init` gives one).

        Returns:
          The checkpoint with its arrays on the default device, or None if there is
          none yet.

        Raises:
          CheckpointError: if it was written under another configuration, or if its
            state differs from the template; the message names the difference.
        """
        step = self.latest_step()
        if step is None:
            return None
        self._check_config(step)
        saved = self._metadata(step)
        abstract = jax.eval_shape(packing.pack, template)
        self._check_structure(step, saved["state"], abstract)
        restored = self._manager.restore(
            step,
            args=ocp.args.Composite(
                state=_restore_as_numpy(abstract),
                history=_restore_as_numpy(_abstract(saved["history"])),
            ),
        )
        return Saved(
            step, packing.unpack(restored["state"], template), restored["history"]
        )

    def close(self) -> None:
        """Releases the manager's threads."""
        self._manager.close()

    def __enter__(self) -> "Checkpoints":
        """Returns itself; the checkpoints are closed on leaving the block."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Closes the checkpoints."""
        self.close()

    def _check_config(self, step: int) -> None:
        args = ocp.args.Composite(meta=ocp.args.JsonRestore())
        meta = self._manager.restore(step, args=args)["meta"]
        if meta["version"] != _VERSION:
            raise CheckpointError(
                f"{self.directory}: checkpoint {step} has format {meta['version']}; "
                f"this program reads format {_VERSION}. Use another directory."
            )
        differences = packing.differences(meta["config"], self._config)
        if differences:
            raise CheckpointError(
                f"{self.directory} holds a run with another configuration: "
                + "; ".join(differences)
                + ". Use another directory, or the configuration it was begun with."
            )

    def _metadata(self, step: int) -> dict[str, Any]:
        metadata = self._manager.item_metadata(step)
        return {name: metadata[name].tree for name in ("state", "history")}

    def _check_structure(self, step: int, saved: Any, wanted: Any) -> None:
        differences = packing.differences(
            packing.describe(saved), packing.describe(wanted)
        )
        if differences:
            raise CheckpointError(
                f"{self.directory}: the state in checkpoint {step} is not the state "
                "of this algorithm: " + "; ".join(differences) + "."
            )


def _manager(directory: pathlib.Path, keep: int) -> ocp.CheckpointManager:
    logging.getLogger("absl").addFilter(_no_orbax_chatter)
    return ocp.CheckpointManager(
        directory,
        # Named here so that the shapes of the history can be read before its arrays.
        item_handlers={
            "state": ocp.PyTreeCheckpointHandler(),
            "history": ocp.PyTreeCheckpointHandler(),
            "meta": ocp.JsonCheckpointHandler(),
        },
        options=ocp.CheckpointManagerOptions(
            max_to_keep=keep,
            create=True,
            enable_async_checkpointing=False,
            cleanup_tmp_directories=True,
        ),
    )


def _no_orbax_chatter(record: logging.LogRecord) -> bool:
    # A line for each of a dozen inner steps would drown the progress bar.
    return record.levelno >= logging.WARNING or "orbax" not in record.pathname


def _restore_as_numpy(abstract: Any) -> ocp.args.PyTreeRestore:
    # Numpy forgets where arrays lived, so a run may move to another device.
    kinds = jax.tree.map(
        lambda leaf: ocp.RestoreArgs(restore_type=np.ndarray), abstract
    )
    return ocp.args.PyTreeRestore(item=abstract, restore_args=kinds)


def _abstract(metadata: Any) -> Any:
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), metadata
    )
