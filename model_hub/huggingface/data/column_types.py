"""The type of a column over all files and splits."""

import dataclasses

import pyarrow as pa
import pyarrow.compute as pc

from model_hub.huggingface.data import json_types
from model_hub.huggingface.data.json_types import JsonKind

# Spellings that a number keeps when it is read and written again.
_WHOLE = r"^(0|-?[1-9][0-9]{0,17})$"
_NUMBER = r"^-?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_BOOLEAN = r"^(true|false|True|False|TRUE|FALSE)$"


class InexactColumnError(Exception):
    """A column's values can only be kept if numbers are read as they are written.

    Args:
        name: the column.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


@dataclasses.dataclass
class CsvCells:
    """What all cells of a csv column may be read as without loss."""

    empty: bool = True
    whole: bool = True
    number: bool = True
    boolean: bool = True
    point: bool = False

    def add(self, cells: pa.Array) -> None:
        """Add the cells of some rows; null is an empty cell."""
        cells = cells.drop_null()
        self.empty &= not len(cells)
        self.whole = self.whole and _all_match(cells, _WHOLE)
        self.number = self.number and _all_match(cells, _NUMBER)
        self.boolean = self.boolean and _all_match(cells, _BOOLEAN)
        # Without a decimal point in any cell, 1e5 may as well be a name.
        self.point = self.point or bool(pc.any(pc.match_substring(cells, ".")).as_py())

    def arrow_type(self) -> pa.DataType:
        """Return the narrowest type that holds all cells."""
        if self.empty:
            return pa.string()
        if self.whole:
            return pa.int64()
        if self.number and self.point:
            return pa.float64()
        return pa.bool_() if self.boolean else pa.string()


@dataclasses.dataclass
class Column:
    """What is known of a column so far.

    Attributes:
        name: its name.
        typed: the type that holds its values in files whose formats have types.
        json: what its values in json files are, if numbers are read as they are written.
        cells: its cells in csv files.
    """

    name: str
    typed: pa.DataType = dataclasses.field(default_factory=pa.null)
    json: JsonKind | None = None
    cells: CsvCells | None = None

    def add_typed(self, kind: pa.DataType) -> None:
        """Add values of a type.

        Raises:
            InexactColumnError: when there are values of another kind.
        """
        unified = json_types.unify(self.typed, kind)
        if unified is None:
            raise InexactColumnError(self.name)
        self.typed = unified

    def add_cells(self, cells: pa.Array) -> None:
        """Add cells of a csv file."""
        self.cells = self.cells or CsvCells()
        self.cells.add(cells)

    def arrow_type(self, *, find_numbers: bool, find_booleans: bool) -> pa.DataType:
        """Return the type of the column.

        Args:
            find_numbers: whether cells may become numbers where no other file has the column.
            find_booleans: the same of booleans, which lose their spelling.

        Raises:
            InexactColumnError: when there are values of several kinds.
        """
        if self.json is not None and json_types.is_string(self.typed):
            self.json.scalars.add("str")
        elif self.json is not None and not pa.types.is_null(self.typed):
            raise InexactColumnError(self.name)
        typed = self.json.arrow_type() if self.json else self.typed
        if self.cells is None or (self.cells.empty and not pa.types.is_null(typed)):
            return typed
        cells = self.cells.arrow_type()
        if pa.types.is_null(typed):
            found = find_booleans if pa.types.is_boolean(cells) else find_numbers
            return cells if found else pa.string()
        # A column of csv files takes the type that other files give it if all its cells can.
        if cells == typed or json_types.is_string(typed):
            return typed
        if self.cells.number and pa.types.is_floating(typed):
            return typed
        if self.json is None:
            raise InexactColumnError(self.name)
        self.json.scalars.add("str")
        return self.json.arrow_type()


def _all_match(cells: pa.Array, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(cells, pattern)).as_py() is not False)
