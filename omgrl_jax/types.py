"""The shared words: tuples of arrays and tuples of pure functions.

Shapes in docstrings: `B` a batch, `H` a horizon, `S` state features, `C` auxiliary
channels (aPTT, ...), `A` discrete actions, `E` ensemble members. States are
standardised unless a name says `raw`. A function that takes a key consumes it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

Array = jax.Array
Key = jax.Array
Params = Any
Metrics = dict[str, Array]


class Transition(NamedTuple):
    """One step of experience; every field may carry leading batch axes.

    Attributes:
      state: [S] state in which the action was chosen.
      action: [] int32 action, or [P] choices where actions are continuous: -1 is the
        lowest dose, 1 the highest, and what lies beyond is done as if it were these.
      next_state: [S] state one step later.
      outcome: [C] standardised channel values that belong to the next state
        (measured or predicted), from which a clinical reward can be computed.
      discount: [] 1.0, or 0.0 where the episode really ended.
      uncertainty: [] what a pessimistic method was told by the model about its own
        ignorance of the step; zero for recorded steps and where no method asks.
    """

    state: Array
    action: Array
    next_state: Array
    outcome: Array
    discount: Array
    uncertainty: Array


class Step(NamedTuple):
    """What a dynamics model says about the next step.

    Attributes:
      state: [B, S] next standardised states.
      outcome: [B, C] standardised channel values at the next step.
      discount: [B] 0.0 where the episode ends with the step, else 1.0; None of a world
        that knows no ends.
    """

    state: Array
    outcome: Array
    discount: Array | None = None


class Spread(NamedTuple):
    """How little the members of a dynamics model know about steps.

    Attributes:
      noise: [B] largest norm, over members, of the predicted standard deviations.
      disagreement: [B] largest distance between two members' mean next steps.
    """

    noise: Array
    disagreement: Array


class Ahead(NamedTuple):
    """Steps whose random numbers are drawn before them, for B states.

    Attributes:
      draw: `(params, key, B) -> numbers`, all that is random in a step.
      step: `(params, numbers, states [B, S], actions) -> Step`.
    """

    draw: Callable[[Params, Key, int], Any]
    step: Callable[[Params, Any, Array, Array], Step]


class Dynamics(NamedTuple):
    """A learned model of the world: anything that rollouts and planners can use.

    Attributes:
      sample: `(params, key, states [B, S], actions [B]) -> Step`, one random draw of
        the next states, each from a random member where there are several.
      mean: `(params, states [B, S], actions [B], amounts [B] = None) -> Step`, the
        members' mean without noise; `amounts` replaces the actions' usual doses.
      spread: `(params, states [B, S], actions [B]) -> Spread`, in standardised units;
        None where a model cannot tell.
      ahead: `sample` in two parts, for rollouts that draw the random numbers of all
        their steps at once; None where a model draws as it goes. Whoever replaces
        `sample` replaces this too: it comes first.
    """

    sample: Callable[[Params, Key, Array, Array], Step]
    mean: Callable[..., Step]
    spread: Callable[[Params, Array, Array], Spread] | None = None
    ahead: Ahead | None = None


class Policy(NamedTuple):
    """A stochastic policy, over `A` discrete actions unless it draws for itself.

    Attributes:
      log_probs: `(params, state [..., S]) -> [..., A]` normalised log-probabilities.
      draw: `(params, key, states [..., S]) -> [..., P]` choices of continuous actions;
        such a policy has no `log_probs`: asked for them it raises ValueError.
    """

    log_probs: Callable[[Params, Array], Array]
    draw: Callable[[Params, Key, Array], Array] | None = None

    def sample(self, params: Params, key: Key, states: Array) -> Array:
        """Actions [...] or choices [..., P], one draw for each of the states."""
        if self.draw is not None:
            return self.draw(params, key, states)
        drawn = jax.random.categorical(key, self.log_probs(params, states), axis=-1)
        return drawn.astype("int32")


class Algorithm(NamedTuple):
    """An offline algorithm as a bundle of pure functions for ONE seed.

    Attributes:
      init: `(key, data) -> state`.
      update: `(state, key, data) -> (state, metrics)`, one epoch of training.
      policy: how it doses. The same object for all actors of one shape, so that what
        is compiled for one serves the others.
      policy_params: `(state) -> params` of `policy`: the parts of the state that are
        needed to dose. It only picks them, so that it may be asked of stacked states.
      reward: `(state, transitions [...]) -> [...]`, the reward it learned; None where
        it learns none.
      action_values: `(state, observations [..., S]) -> [..., A]`, what it believes
        actions to be worth, in the unit of the rewards; None where it does not say.
    """

    init: Callable[[Key, Any], Any]
    update: Callable[[Any, Key, Any], tuple[Any, Metrics]]
    policy: Policy
    policy_params: Callable[[Any], Params]
    reward: Callable[[Any, Transition], Array] | None = None
    action_values: Callable[[Any, Array], Array] | None = None

    def log_probs(self, state: Any, observations: Array) -> Array:
        """Log-probabilities [..., A] of the policy at `observations` [..., S]."""
        return self.policy.log_probs(self.policy_params(state), observations)

    def act(self, state: Any, key: Key, observation: Array) -> Array:
        """One action [] or [P], drawn from the policy at `observation` [S]."""
        return self.policy.sample(self.policy_params(state), key, observation)
