"""The pages as Sphinx builds them, above all the reference, which it makes from docstrings."""

import importlib
import inspect
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from pages import DOCS
from sphinx.ext.napoleon import Config, GoogleDocstring

from model_hub.huggingface import tasks


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"]
    subprocess.run([*command, "-d", str(out / "cache"), str(DOCS), str(out / "html")], check=True)
    return out / "html"


def test_a_field_is_described_once(site: pathlib.Path) -> None:
    """By the docstring of its class, not again as a member whose docstring Python has made."""
    page = (site / "reference.html").read_text(encoding="utf-8")
    assert "SpanCandidates" in page
    assert "Alias for field number" not in page


def docstrings() -> Iterator[tuple[str, str]]:
    """Of all that the reference describes, with the name."""
    names = ["model_hub.huggingface", "model_hub.utils"]
    names += sorted({f"{tasks.__name__}.{task.package}" for task in tasks.TASKS})
    for name in names:
        module = importlib.import_module(name)
        for public in module.__all__:
            value = getattr(module, public)
            members = vars(value).values() if inspect.isclass(value) else ()
            for described in (value, *filter(callable, members)):
                yield f"{name}.{public}", inspect.getdoc(described) or ""


def test_what_is_returned_is_not_taken_for_a_type() -> None:
    """Napoleon takes for a type what stands before a colon in the first line of "Returns"."""
    found = [
        (name, kind)
        for name, text in docstrings()
        for kind in re.findall(r":rtype: (.*)", str(GoogleDocstring(text, Config())))
    ]
    assert not found
