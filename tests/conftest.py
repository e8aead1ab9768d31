"""Strict settings for every test, made before JAX is imported."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Sweeps split over host devices need more than one.
_FLAG = "--xla_force_host_platform_device_count"
if _FLAG not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_FLAG}=2".strip()

import jax  # noqa: E402
import pytest  # noqa: E402

jax.config.update("jax_debug_key_reuse", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
# Tests compile far more than they compute: so they take some 40 % less.
jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture(autouse=True, scope="module")
def room_for_programs():
    """What other files compiled is forgotten where it takes too much room."""
    from omgrl_jax.runtime import mappings

    mappings.forget_programs()


@pytest.fixture
def undrawn(monkeypatch):
    """Leaves out the slow part of drawing: such tests read words."""
    from experiments.report import drawing

    def finish(figure, alt, caption):
        del figure
        return drawing.Picture("data:image/svg+xml;base64,", alt, caption, 1, 1)

    monkeypatch.setattr(drawing, "finish", finish)
