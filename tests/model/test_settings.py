"""Settings have their defaults in the schema and nowhere else."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from dataclasses import fields

import pytest

from rtdetr_nb import model
from rtdetr_nb.config import schema
from rtdetr_nb.model.decoder import RTDETRTransformerv2
from rtdetr_nb.model.hgnetv2 import HGNetv2
from rtdetr_nb.model.hybrid_encoder import HybridEncoder
from rtdetr_nb.model.postprocess import RTDETRPostProcessor
from rtdetr_nb.training.ema import ModelEMA
from rtdetr_nb.training.losses.criterion import Criterion
from rtdetr_nb.training.losses.matcher import HungarianMatcher
from rtdetr_nb.training.optimizer import LinearWarmup

SECTIONS = (
    schema.BackboneConfig,
    schema.EncoderConfig,
    schema.DecoderConfig,
    schema.PostProcessorConfig,
)
SETTINGS = {field.name for section in SECTIONS for field in fields(section)}
TRAINED_WITH = [
    (Criterion, schema.CriterionConfig),
    (HungarianMatcher, schema.MatcherConfig),
    (LinearWarmup, schema.LRWarmupConfig),
    (ModelEMA, schema.EmaConfig),
]


def constructors() -> Iterator[tuple[type, dict[str, inspect.Parameter]]]:
    """The classes of the folder with the arguments of their constructors."""
    for module in pkgutil.iter_modules(model.__path__):
        home = importlib.import_module(f"{model.__name__}.{module.name}")
        for _, found in inspect.getmembers(home, inspect.isclass):
            if found.__module__ == home.__name__ and "__init__" in vars(found):
                yield found, dict(inspect.signature(found).parameters)


def with_default(parameters: dict[str, inspect.Parameter]) -> set[str]:
    return {name for name, found in parameters.items() if found.default is not found.empty}


def test_no_constructor_has_a_default_that_the_schema_has():
    classes = list(constructors())
    assert len(classes) > 15
    twice = {cls.__name__: with_default(given) & SETTINGS for cls, given in classes}
    assert {name: found for name, found in twice.items() if found} == {}


@pytest.mark.parametrize(("part", "section"), TRAINED_WITH)
def test_parts_of_training_have_no_default_that_their_section_has(part, section):
    given = dict(inspect.signature(part).parameters)
    names = {field.name for field in fields(section)}
    assert set(given) & names and not with_default(given) & names


def test_a_default_beside_the_schema_is_noticed():
    def build(channels: int, stride: int = 1, num_queries: int = 300) -> None: ...

    assert with_default(dict(inspect.signature(build).parameters)) & SETTINGS == {"num_queries"}


@pytest.mark.parametrize("part", [HGNetv2, HybridEncoder, RTDETRTransformerv2, RTDETRPostProcessor])
def test_parts_have_no_default_at_all(part):
    parameters = dict(inspect.signature(part).parameters)
    assert with_default(parameters) == set()
    positional = [p for p in parameters.values() if p.kind is not p.KEYWORD_ONLY]
    assert len(positional) <= 1
