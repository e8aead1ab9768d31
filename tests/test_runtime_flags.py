import dataclasses
from typing import Literal

import pytest
from absl import flags
from absl.testing import flagsaver

from omgrl_jax.runtime import flags as config_flags


@dataclasses.dataclass(frozen=True)
class Ensemble:
    """A part.

    Attributes:
      members: how many networks, of which
        the best are used.
    """

    members: int = dataclasses.field(default=7, metadata={"min": 1})


@dataclasses.dataclass(frozen=True)
class Config:
    """A configuration.

    Some words about it.

    Attributes:
      rate: step size of Adam: [] per update.
      mode (str): weighting of the reward.
      sizes: hidden units.
      temperature: entropy coefficient.
      greedy: act greedily.
      label: name of the run.
      share: part of the batch.
      engine: where queries run.
      ensemble: the networks.

    Note:
      mode_of_this_section: is no attribute.
    """

    rate: float = dataclasses.field(default=1e-3, metadata={"above": 0, "below": 1})
    mode: Literal["paper", "gcl"] = "paper"
    sizes: tuple[int, ...] = dataclasses.field(default=(4, 5), metadata={"min": 1})
    temperature: float | None = None
    greedy: bool = False
    label: str = "a,b"
    share: float = dataclasses.field(default=0.5, metadata={"min": 0, "max": 1})
    engine: str = dataclasses.field(default="x", metadata={"choices": ("x", "y")})
    ensemble: Ensemble = dataclasses.field(default_factory=Ensemble)


def parse(*arguments, config=Config, prefix=""):
    values = flags.FlagValues()
    config_flags.define(config, prefix, values)
    values(["program", *arguments])
    return config_flags.read(config, prefix, values)


def test_defaults_are_those_of_the_class():
    assert parse() == Config()


@dataclasses.dataclass(frozen=True)
class Chosen:
    """A configuration that chooses its part.

    Attributes:
      ensemble: the networks.
    """

    ensemble: Ensemble = dataclasses.field(default_factory=lambda: Ensemble(members=3))


def test_a_part_has_the_defaults_that_the_outer_one_gives_it():
    assert parse(config=Chosen) == Chosen() == Chosen(Ensemble(members=3))
    assert parse("--ensemble_members=9", config=Chosen) == Chosen(Ensemble(members=9))


def test_every_kind_of_field_is_read():
    found = parse(
        "--rate=0.5",
        "--mode=gcl",
        "--sizes=1, 2,3",
        "--temperature=2",
        "--greedy",
        "--label=c",
        "--share=1",
        "--engine=y",
        "--ensemble_members=3",
    )
    assert found == Config(0.5, "gcl", (1, 2, 3), 2.0, True, "c", 1.0, "y", Ensemble(3))
    assert isinstance(found.temperature, float)
    assert parse("--sizes=").sizes == ()
    assert parse("--temperature=none").temperature is None
    assert parse("--nogreedy").greedy is False


def test_prefix_stands_in_front():
    found = parse("--combo_rate=0.5", prefix="combo_")
    assert found.rate == 0.5
    with pytest.raises(flags.UnrecognizedFlagError):
        parse("--rate=0.5", prefix="combo_")


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--rate=0", "--rate must be greater than 0"),
        ("--rate=1", "--rate must be less than 1"),
        ("--rate=nan", "--rate must be greater than 0"),
        ("--rate=fast", "--rate=fast"),
        ("--mode=gan", "--mode must be one of paper, gcl"),
        ("--sizes=4,0", "--sizes must be at least 1"),
        ("--sizes=4,x", "--sizes=4,x"),
        ("--share=1.5", "--share must be at most 1"),
        ("--share=-.1", "--share must be at least 0"),
        ("--engine=z", "--engine must be one of x, y"),
        ("--ensemble_members=0", "--ensemble_members must be at least 1"),
        ("--ensemble_members=1.5", "--ensemble_members=1.5"),
        ("--greedy=perhaps", "--greedy=perhaps"),
        ("--rates=1", "'rates'"),
    ],
)
def test_faults_name_the_flag(argument, message):
    with pytest.raises(flags.Error) as error:
        parse(argument)
    assert message in str(error.value)


def test_help_comes_from_the_docstring():
    values = flags.FlagValues()
    config_flags.define(Config, "", values)
    assert values["rate"].help.startswith("step size of Adam: [] per update; must be")
    assert values["mode"].help == (
        "weighting of the reward; must be one of paper, gcl."
    )
    assert values["ensemble_members"].help == (
        "how many networks, of which the best are used; must be at least 1."
    )
    assert values["sizes"].default_as_str == "'4,5'"
    assert "mode_of_this_section" not in config_flags.attribute_docs(Config)


def test_flags_belong_to_the_script_that_defines_them():
    values = flags.FlagValues()
    config_flags.define(Config, "", values)
    (module,) = values.flags_by_module_dict()
    assert module == __name__


def test_inherited_fields_keep_their_help():
    @dataclasses.dataclass(frozen=True)
    class Longer(Ensemble):
        """More.

        Attributes:
          elites: the best.
        """

        elites: int = 5

    assert parse("--elites=2", config=Longer) == Longer(7, 2)
    assert config_flags.attribute_docs(Longer)["members"].startswith("how many")


def test_field_without_default_is_required():
    @dataclasses.dataclass(frozen=True)
    class Required:
        """Needs a word.

        Attributes:
          out: directory of the results.
        """

        out: str

    assert parse("--out=x", config=Required) == Required("x")
    with pytest.raises(flags.IllegalFlagValueError, match="--out"):
        parse(config=Required)


def make_class(kind=int, doc="Made.\n\nAttributes:\n  field: words.", **metadata):
    return dataclasses.make_dataclass(
        "Made",
        [("field", kind, dataclasses.field(default=1, metadata=metadata))],
        namespace={"__doc__": doc},
        frozen=True,
    )


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (make_class(doc="No words."), r"Made\.field has no line"),
        (make_class(minimum=1), r"unknown metadata \['minimum'\]"),
        (make_class(kind=dict), "--field: no parser"),
        (make_class(kind=int | str | None), "--field: no parser"),
    ],
)
def test_faults_of_the_class_are_found_when_flags_are_defined(config, message):
    with pytest.raises(TypeError, match=message):
        parse(config=config)


def test_default_outside_its_limits_is_found_when_flags_are_defined():
    with pytest.raises(flags.IllegalFlagValueError, match="--field must be at least 2"):
        parse(config=make_class(min=2))


def test_name_taken_twice_is_refused():
    values = flags.FlagValues()
    config_flags.define(Ensemble, "", values)
    with pytest.raises(flags.DuplicateFlagError, match="members"):
        config_flags.define(Ensemble, "", values)


def test_flagsaver_gives_small_settings_to_a_script():
    config_flags.define(Ensemble, "saved_")
    try:
        flags.FLAGS.mark_as_parsed()
        with flagsaver.flagsaver(saved_members=2):
            assert config_flags.read(Ensemble, "saved_") == Ensemble(2)
        assert config_flags.read(Ensemble, "saved_") == Ensemble()
        with pytest.raises(flags.IllegalFlagValueError, match="--saved_members"):
            flags.FLAGS["saved_members"].value = 0
            flags.FLAGS.validate_all_flags()
    finally:
        del flags.FLAGS.saved_members
        flags.FLAGS.unparse_flags()


@dataclasses.dataclass(frozen=True)
class Method:
    """A method that shares a part.

    Attributes:
      weight: its own setting.
      ensemble: the networks.
    """

    weight: float = 1.0
    ensemble: Ensemble = dataclasses.field(default_factory=Ensemble)


@dataclasses.dataclass(frozen=True)
class Run:
    """Two methods and what they share.

    Attributes:
      one: a method.
      other: another.
      ensemble: the networks.
    """

    one: Method = dataclasses.field(default_factory=Method)
    other: Method = dataclasses.field(default_factory=Method)
    ensemble: Ensemble = dataclasses.field(default_factory=Ensemble)

    def __post_init__(self):
        config_flags.share(self)


def test_a_shared_part_has_one_flag_and_reaches_every_method():
    values = flags.FlagValues()
    config_flags.define(Run, "", values)
    own = {"one_weight", "other_weight", "ensemble_members"}
    assert {n for n in values if "members" in n or "weight" in n} == own
    config = parse("--ensemble_members=3", "--one_weight=2", config=Run)
    assert config.one == Method(2.0, Ensemble(3))
    assert config.other == Method(1.0, Ensemble(3))
    assert config_flags.flatten(config) == {
        "one_weight": 2.0,
        "other_weight": 1.0,
        "ensemble_members": 3,
    }


def test_changed_flags_leave_the_others_and_the_original():
    config = parse("--ensemble_members=3", "--one_weight=2", config=Run)
    other = config_flags.changed(config, ["--other_weight=5", "--ensemble_members=4"])
    assert other.one == Method(2.0, Ensemble(4)) and other.other.weight == 5.0
    assert config.other == Method(1.0, Ensemble(3))
    with pytest.raises(flags.Error, match="at least 1"):
        config_flags.changed(config, ["--ensemble_members=0"])
    with pytest.raises(flags.Error, match="Unknown command line flag"):
        config_flags.changed(config, ["--nothing=1"])


def test_a_replaced_part_is_shared_again():
    config = dataclasses.replace(Run(), ensemble=Ensemble(2))
    assert (config.one.ensemble, config.other.ensemble) == (Ensemble(2), Ensemble(2))


def test_scripts_that_learn_from_data_have_the_same_flags():
    for given, missing in ((["--out=x"], "dataset"), (["--dataset=x"], "out")):
        needy = flags.FlagValues()
        config_flags.define_study_script([Config], needy)
        with pytest.raises(flags.IllegalFlagValueError, match=missing):
            needy(["program", *given])
    needy, free = flags.FlagValues(), flags.FlagValues()
    config_flags.define_study_script([Config], needy)
    config_flags.define_study_script([Ensemble], free, "made anew")
    needy(["program", "--dataset=a", "--out=b", "--rate=.25", "--allow_git_worktree"])
    assert (needy.dataset, needy.out, needy.rate) == ("a", "b", 0.25)
    assert needy[config_flags.ALLOW_GIT_WORKTREE].value
    free(["program", "--out=b"])
    assert free.dataset == "" and free.members == 7 and not free.allow_git_worktree
    assert "empty: made anew" in free["dataset"].help
