"""What the networks of the world model are fitted on: recorded transitions."""

from typing import NamedTuple

from omgrl_jax.data.records import Records
from omgrl_jax.types import Array


class Example(NamedTuple):
    """One recorded transition, standardised where a state is.

    Attributes:
      state: [S] state at the start of the step.
      action: [] dose bin, or [P] choices.
      amount: [] dose that was really given, raw.
      next_state: [S] state at its end.
      outcome: [C] channel values known at its end.
      measured: [C] whether they were measured anew.
      censored: [C] whether they are lower bounds.
      discount: [] 0.0 where the episode ended with the step.
    """

    state: Array
    action: Array
    amount: Array
    next_state: Array
    outcome: Array
    measured: Array
    censored: Array
    discount: Array


def examples(records: Records) -> Example:
    """All recorded transitions, leaves [M, ...]."""
    rows = records.transitions
    return Example(
        state=records.states[rows],
        action=records.actions[rows],
        amount=records.amounts[rows],
        next_state=records.states[rows + 1],
        outcome=records.outcome[rows],
        measured=records.measured[rows],
        censored=records.censored[rows],
        discount=records.discount[rows],
    )
