"""The kinds of mapping that the sections of the YAML may be."""

from collections.abc import Callable, Mapping
from typing import Any

import attrdict
import pytest

from model_hub.utils import AttrDict

FORMS: dict[str, Callable[[Any], Mapping[str, Any]]] = {
    "dict": dict,
    "attrdict": attrdict.AttrDict,
    "ours": AttrDict,
}


@pytest.fixture(params=sorted(FORMS))
def form(request: pytest.FixtureRequest) -> Callable[[Any], Mapping[str, Any]]:
    """A plain dict, an old trial file's, or ours."""
    return FORMS[request.param]
