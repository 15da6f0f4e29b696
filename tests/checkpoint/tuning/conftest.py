"""A model that several tests load tuning files into."""

import pytest
from torch import nn

from rtdetr_nb.model.build import build_model
from tests.checkpoint.wild import CONFIG


@pytest.fixture(scope="package")
def built_model() -> nn.Module:
    return build_model(CONFIG)


@pytest.fixture
def model(built_model):
    """The model with its initial weights, whatever the test before loaded into it."""
    initial = {key: value.clone() for key, value in built_model.state_dict().items()}
    yield built_model
    built_model.load_state_dict(initial)
