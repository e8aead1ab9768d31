"""The best epoch, and standing still after it."""

import jax.numpy as jnp
import numpy as np

from omgrl_jax.learners import standstill


def follow(losses, patience, drift=0.0):
    """What each epoch hands on, where epoch i would have learned the number i.

    Before the first one the loss is 9; the yardstick moves by `drift` each epoch.
    """
    best, handed = standstill.start(jnp.float32(-1.0)), []
    for epoch, loss in enumerate(losses):
        kept = int(best.kept)
        known = 9.0 if kept < 0 else losses[kept]
        own, of_kept = (jnp.float32(x + drift * epoch) for x in (loss, known))
        learned, best = standstill.look(
            best, jnp.float32(epoch), own, of_kept, patience
        )
        handed.append(float(learned))
    return handed, best


def test_the_best_epoch_is_gone_back_to_when_patience_ends():
    # Epoch 1 is the best; two worse ones end it; that 5 would be better is too late.
    handed, best = follow([3.0, 1.0, 2.0, 4.0, 2.0, 0.0], patience=2)
    np.testing.assert_array_equal(handed, [0, 1, 2, 1, 1, 1])
    assert float(best.kept) == 1.0


def test_a_better_epoch_begins_the_wait_anew():
    handed, best = follow([3.0, 4.0, 2.0, 4.0, 1.0], patience=2)
    np.testing.assert_array_equal(handed, [0, 1, 2, 3, 4])
    assert int(best.waited) == 0


def test_a_loss_that_is_not_a_number_is_never_the_best():
    handed, best = follow([1.0, np.nan, np.nan], patience=2)
    np.testing.assert_array_equal(handed, [0, 1, 0])
    assert float(best.kept) == 0.0


def test_a_yardstick_that_moves_decides_nothing():
    losses = [3.0, 1.0, 2.0, 4.0]
    for drift in (-5.0, 5.0):
        np.testing.assert_array_equal(follow(losses, 2, drift)[0], [0, 1, 2, 1])
