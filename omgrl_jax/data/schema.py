"""What the columns of a dataset mean: `schema.json` as frozen dataclasses."""

import dataclasses
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from omgrl_jax import actions as actions_lib
from omgrl_jax.data import tracking
from omgrl_jax.data.tracking import Tracked

VERSION = 1
SCALES = ("linear", "log", "unit")


@dataclasses.dataclass(frozen=True)
class Feature:
    """A stored state feature.

    Attributes:
      name: column name.
      unit: unit as text.
      static: True if it never changes within a stay: carried through, not predicted.
      scale: how it is standardised: "linear", "log" (its logarithm is), or "unit", for
        columns that are on the networks' scale already (one-hot, shares): kept as is.
    """

    name: str
    unit: str = ""
    static: bool = False
    scale: str = "linear"


@dataclasses.dataclass(frozen=True)
class Channel:
    """An auxiliary channel: measured now and then, predicted, possibly rewarded.

    Attributes:
      name: channel name.
      unit: unit as text.
      scale: "linear", "log" or "unit".
      target: the range in which the channel is wanted, or None.
    """

    name: str
    unit: str = ""
    scale: str = "linear"
    target: tuple[float, float] | None = None


@dataclasses.dataclass(frozen=True)
class Drug:
    """One of several drugs that an action doses together.

    Attributes:
      name: what it is.
      unit: unit of its doses.
      edges: upper edges of all dose levels but the highest; empty where doses are
        continuous.
      amounts: a dose that represents each level.
    """

    name: str
    unit: str = ""
    edges: tuple[float, ...] = ()
    amounts: tuple[float, ...] = ()

    @property
    def levels(self) -> int:
        """Number of dose levels."""
        return len(self.amounts)


@dataclasses.dataclass(frozen=True)
class Actions:
    """The actions: discrete, or continuous where `count` is 0 and bounds are given.

    Attributes:
      count: number of actions `A`.
      unit: unit of the doses; empty where actions are no doses.
      edges: `A - 1` upper bin edges (may be empty where actions are no doses).
      amounts: `A` doses that represent the bins; zeros where actions are no doses.
      labels: `A` texts for tables and figures.
      low: smallest values of the `P` features of continuous actions.
      high: largest ones.
      drugs: where actions dose several drugs: discrete ones are all combinations of
        their levels, the last drug's changing first; of continuous ones each feature
        is the dose of one.
    """

    count: int
    unit: str = ""
    edges: tuple[float, ...] = ()
    amounts: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    drugs: tuple[Drug, ...] = ()

    def levels(self, actions: np.ndarray) -> np.ndarray:
        """Dose level of each drug [..., D] of discrete actions [...]."""
        shape = tuple(drug.levels for drug in self.drugs)
        return np.stack(np.unravel_index(actions, shape), axis=-1)

    def space(self) -> actions_lib.ActionSpace:
        """What an agent may do."""
        if self.count:
            return actions_lib.discrete(self.count)
        return actions_lib.box(self.low, self.high)


@dataclasses.dataclass(frozen=True)
class Schema:
    """The description of a dataset, written as `schema.json`.

    Attributes:
      name: short name of the dataset.
      features: the stored features, in column order.
      actions: the actions.
      kind: "virtual", "records" or "other".
      step_hours: length of a step in hours (any unit for non-clinical data).
      channels: the auxiliary channels.
      tracked: features that follow from doses and measurements by rule.
      states: name of a state -> the feature and tracked names it consists of.
      default_state: the state used unless another is asked for.
      reward: {"kind": "recorded"}, {"kind": "range", "channel": NAME} or
        {"kind": "none"}.
      simulator: configuration of the simulator that made the data, or None.
    """

    name: str
    features: tuple[Feature, ...]
    actions: Actions
    kind: str = "other"
    step_hours: float = 1.0
    channels: tuple[Channel, ...] = ()
    tracked: tuple[Tracked, ...] = ()
    states: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    default_state: str = ""
    reward: dict[str, str] = dataclasses.field(default_factory=lambda: {"kind": "none"})
    simulator: dict[str, Any] | None = None

    @property
    def channel_names(self) -> list[str]:
        """Names of the auxiliary channels in order."""
        return [channel.name for channel in self.channels]

    def state(self, name: str | None = None) -> tuple[list[int], list[Tracked]]:
        """The columns of a state.

        Args:
          name: one of `states`; None for the default.

        Returns:
          Indices of the stored features, then the tracked features, in state order
          (stored features first).

        Raises:
          ValueError: if there is no such state.
        """
        name = name or self.default_state
        if not self.states and not name:
            return list(range(len(self.features))), list(self.tracked)
        if name not in self.states:
            raise ValueError(
                f"--state={name}: this dataset offers {', '.join(sorted(self.states))}"
            )
        wanted = set(self.states[name])
        stored = [i for i, f in enumerate(self.features) if f.name in wanted]
        tracked = [t for t in self.tracked if t.name in wanted]
        return stored, tracked


def check(schema: Schema) -> None:
    """Checks a schema in itself.

    Args:
      schema: the description of a dataset.

    Raises:
      ValueError: naming the field of `schema.json` and the remedy.
    """
    names = [f.name for f in schema.features] + [t.name for t in schema.tracked]
    _require(len(schema.features) > 0, "features: at least one is needed")
    _require(len(set(names)) == len(names), "features: a name appears twice")
    _require(
        schema.kind in ("virtual", "records", "other"),
        f"kind: '{schema.kind}' is not one of virtual, records, other",
    )
    for column in (*schema.features, *schema.channels):
        _require(
            column.scale in SCALES,
            f"'{column.name}': scale '{column.scale}' is not one of "
            f"{', '.join(SCALES)}",
        )
    _check_actions(schema.actions)
    tracking.check(schema.tracked, schema.channel_names)
    for state, members in schema.states.items():
        unknown = [m for m in members if m not in names]
        _require(not unknown, f"states.{state}: unknown feature {unknown}")
        tracking.check(schema.state(state)[1], schema.channel_names)
    if schema.states:
        _require(
            schema.default_state in schema.states,
            f"default_state: '{schema.default_state}' is not one of "
            f"{sorted(schema.states)}",
        )
    kind = schema.reward.get("kind")
    _require(
        kind in ("recorded", "range", "none"),
        f"reward.kind: '{kind}' is not one of recorded, range, none",
    )
    if kind == "range":
        name = schema.reward.get("channel")
        found = [c for c in schema.channels if c.name == name]
        _require(bool(found), f"reward.channel: no channel named '{name}'")
        _require(
            found[0].target is not None,
            f"reward.channel: channel '{name}' has no target range",
        )


def to_json(schema: Schema, content_hash: str) -> str:
    """The text of `schema.json`."""
    fields = {"version": VERSION, **dataclasses.asdict(schema)}
    if schema.actions.count:  # as it was before there were continuous actions
        for name in ("low", "high"):
            del fields["actions"][name]
    if not schema.actions.drugs:  # likewise
        del fields["actions"]["drugs"]
    return json.dumps({**fields, "content_hash": content_hash}, indent=1) + "\n"


def from_json(text: str) -> tuple[Schema, str]:
    """Reads what `to_json` wrote.

    Args:
      text: the text of `schema.json`.

    Returns:
      The schema and the content hash it names.

    Raises:
      ValueError: on text that is no schema of this version.
    """
    try:
        raw = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not valid JSON ({error})") from error
    if not isinstance(raw, dict) or raw.pop("version", None) != VERSION:
        raise ValueError(f"version: this program reads version {VERSION}")
    content_hash = raw.pop("content_hash", "")
    known = {field.name for field in dataclasses.fields(Schema)}
    if unknown := sorted(set(raw) - known):
        raise ValueError(f"unknown field {unknown}")
    try:
        schema = Schema(
            **{
                **raw,
                "features": tuple(Feature(**f) for f in raw["features"]),
                "channels": tuple(
                    Channel(**{**c, "target": _pair(c.get("target"))})
                    for c in raw.get("channels", [])
                ),
                "actions": _actions(raw["actions"]),
                "tracked": tuple(Tracked(**t) for t in raw.get("tracked", [])),
                "states": {k: tuple(v) for k, v in raw.get("states", {}).items()},
            }
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"missing or unknown field: {error}") from error
    check(schema)
    return schema, content_hash


def heparin_states(
    features: Sequence[str],
    half_life: float = 1.0,
    delay: int = 0,
    indicators: Sequence[str] = (),
) -> tuple[tuple[Tracked, ...], dict[str, tuple[str, ...]]]:
    """The states of the heparin task over the same stored features.

    Args:
      features: names of the stored features (the paper's sixteen).
      half_life: hours after which a dose counts half in the running average.
      delay: hours between a draw and the row that knows its result, 0 or 1.
      indicators: names of stored features that say what was not measured.

    Returns:
      The tracked features and `{"paper": ..., "full": ..., "history": ...}`; where
      there are indicators, also each of them with those: `{"paper_missing": ...}`.
    """
    full = (
        Tracked("aptt_last", "last", "aptt"),
        Tracked("aptt_age", "age", "aptt", delay=delay),
        Tracked("dose_last", "amount"),
    )
    history = (
        Tracked("dose_average", "average", None, half_life),
        Tracked(
            "dose_average_at_draw", "average_at_measurement", "aptt", half_life, delay
        ),
        Tracked("aptt_previous", "previous", "aptt"),
    )
    paper = tuple(features)
    states = {
        "paper": paper,
        "full": paper + tuple(t.name for t in full),
        "history": paper + tuple(t.name for t in (*full, *history)),
    }
    if indicators:
        with_indicators = {
            f"{name}_missing": (*indicators, *members)
            for name, members in states.items()
        }
        states |= with_indicators
    return full + history, states


HEPARIN_FEATURES = (
    Feature("age", "years", static=True),
    Feature("gender", "1 = female", static=True),
    Feature("weight", "kg", static=True),
    Feature("gcs", "points"),
    Feature("dbp", "mmHg"),
    Feature("sbp", "mmHg"),
    Feature("rr", "1/min"),
    Feature("hemoglobin", "g/dL"),
    Feature("temperature", "degC"),
    Feature("wbc", "K/uL", scale="log"),
    Feature("platelets", "K/uL", scale="log"),
    Feature("pt", "s", scale="log"),
    Feature("paco2", "mmHg", scale="log"),
    Feature("creatinine", "mg/dL", scale="log"),
    Feature("bilirubin", "mg/dL", scale="log"),
    Feature("inr", "ratio", scale="log"),
)
APTT = Channel("aptt", "s", scale="log", target=(60.0, 100.0))


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(message)


def _actions(raw: dict[str, Any]) -> Actions:
    drugs = tuple(
        Drug(**{k: _frozen(v) for k, v in drug.items()})
        for drug in raw.get("drugs", ())
    )
    given = {k: _frozen(v) for k, v in raw.items()}
    return Actions(**{**given, "drugs": drugs})


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _pair(value: Any) -> tuple[float, float] | None:
    return None if value is None else (float(value[0]), float(value[1]))


def _check_actions(actions: Actions) -> None:
    """Checks the actions of a schema."""
    if actions.low or actions.high:
        _require(actions.count == 0, "actions: a count for discrete ones, or bounds")
        try:
            actions.space()
        except (TypeError, ValueError) as error:
            raise ValueError(f"actions: {error}") from error
    else:
        _require(actions.count >= 2, "actions.count: at least two actions are needed")
    for field in ("amounts", "labels"):
        given = getattr(actions, field)
        _require(
            len(given) in (0, actions.count),
            f"actions.{field}: {len(given)} values for {actions.count} actions",
        )
    _check_drugs(actions)
    _require(
        len(actions.edges) in (0, actions.count - 1),
        f"actions.edges: {actions.count - 1} edges separate {actions.count} bins, "
        f"{len(actions.edges)} given",
    )


def _check_drugs(actions: Actions) -> None:
    """Checks that the drugs' levels, or doses, are what the actions consist of."""
    if not actions.drugs:
        return
    names = [drug.name for drug in actions.drugs]
    _require(len(set(names)) == len(names), "actions.drugs: a name appears twice")
    if not actions.count:
        _require(
            len(names) == len(actions.low),
            f"actions.drugs: {len(names)} for {len(actions.low)} doses of an action",
        )
        return
    for drug in actions.drugs:
        _require(
            drug.levels >= 1 and len(drug.edges) == drug.levels - 1,
            f"actions.drugs: {drug.levels} levels of {drug.name} are separated by "
            f"{drug.levels - 1} edges, {len(drug.edges)} given",
        )
    product = math.prod(drug.levels for drug in actions.drugs)
    _require(
        product == actions.count,
        f"actions.drugs: their levels make {product} actions, count says "
        f"{actions.count}",
    )
