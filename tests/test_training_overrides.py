"""What a command line may not set, in one sentence that says what it may."""

from pathlib import Path

import pytest
from absl import flags

from drumjax import train
from drumjax.training.overrides import say_override

# ml_collections loads a config file in Python's old way.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")

CONFIGS = Path(__file__).parents[1] / "configs"


def read(*options, model="cwae"):
    argv = ["train", f"--config={CONFIGS / model}.py:small", "--workdir=x", *options]
    return train.read_flags(argv)[0]


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("train.stepz=3", "The config has no field train.stepz; did you mean train.steps?"),
        ("trian.steps=3", "The config has no field trian.steps; did you mean train.steps?"),
        ("steps=3", "The config has no field steps; did you mean train.steps?"),
        ("train.beta=3", "The config has no field train.beta; did you mean train.beta1?"),
        ("data.layer=1", "The config has no field data.layer; did you mean data.augment.layer?"),
        ("train.steps.x=3", "The config has no field train.steps.x; did you mean train.steps?"),
        (
            "cwae.channels[0]=3",
            "The config has no field cwae.channels[0]; did you mean cwae.channels?",
        ),
        (
            "mcnn.heads=2",
            "The config has no field mcnn.heads, as its model is cwae; "
            "give --config=configs/mcnn.py.",
        ),
        ("zzz=3", "The config has no field zzz; its sections are cwae, data, mel, train."),
        ("data.balanced=maybe", "data.balanced is 'maybe'; give a value like True."),
        ("train.steps=a: b", "train.steps is 'a: b'; give a value like 1600."),
        ("train.warmup=1.5", "train.warmup is '1.5'; give a value like 50."),
    ],
)
def test_a_wrong_override_is_one_sentence(option, said):
    with pytest.raises(flags.Error) as caught:
        read("--config.seed=1", f"--config.{option}")
    assert str(caught.value) == said


def test_of_a_field_that_is_given_more_than_once_the_wrong_value_is_named():
    with pytest.raises(flags.Error, match=r"train\.steps is 'q'; give a value like 1600"):
        read(*(f"--config.train.steps={value}" for value in (7, "q", 9)))


def test_a_field_without_a_near_one_names_its_neighbours():
    with pytest.raises(flags.Error, match=r"no field train\.zzz; those of train are .*, steps, "):
        read("--config.train.zzz=3")


def test_a_section_is_not_set_as_a_whole():
    with pytest.raises(flags.Error, match=r"train is a section; set its fields .* --config\.train"):
        read("--config.train=3")


@pytest.mark.parametrize("model", ["cwae", "frame_wae"])
def test_the_batch_is_no_field_of_the_model(model):
    """It follows from the data's section."""
    with pytest.raises(flags.Error, match=rf"no field {model}\.batch_size"):
        read(f"--config.{model}.batch_size=32", model=model)
    assert "batch_size" not in read(model=model)[model]


def test_what_can_be_set_is_set():
    config = read("--config.train.steps", "3", "--noconfig.data.balanced", "--config.seed=5")
    assert (config["train"]["steps"], config["data"]["balanced"], config["seed"]) == (3, False, 5)


def test_what_is_wrong_elsewhere_is_said_as_it_was(tmp_path):
    argv = ["train", f"--config={tmp_path / 'none.py'}", "--config.train.stepz=3"]
    assert say_override(argv, ValueError("no such thing\nat line 3")) == "no such thing"
    argv[1] = f"--config={CONFIGS / 'cwae.py'}"
    assert say_override(argv[:2], ValueError("no such thing")) == "no such thing"
