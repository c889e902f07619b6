"""Lets the tests import what stands beside docs/conf.py, as Sphinx does."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "docs"))
