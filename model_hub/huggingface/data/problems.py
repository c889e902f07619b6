"""Collects what is wrong with data, so that all of it is reported at once."""

import contextlib
from collections.abc import Iterable, Iterator

import datasets
import numpy as np
import numpy.typing as npt

from model_hub.errors import UserError
from model_hub.huggingface.data.origin import describe_row

_PLACES = 3


class DataError(UserError):
    """Everything that is wrong with the data.

    Args:
        problems: a message for each kind of problem.

    Attributes:
        problems: the same.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(dict.fromkeys(problems))
        super().__init__("\n".join(self.problems))


class Problems:
    """Messages about data; at the end of a ``with`` block, they become one :class:`DataError`.

    A ``UserError`` that ends the block is added to them.
    """

    def __init__(self) -> None:
        self.messages: list[str] = []

    def __enter__(self) -> "Problems":
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is not None:
            if not isinstance(error, UserError):
                return
            self.messages += getattr(error, "problems", [str(error)])
        if self.messages:
            raise DataError(self.messages) from error

    @contextlib.contextmanager
    def part(self) -> Iterator[None]:
        """Run checks whose errors do not end the others."""
        try:
            yield
        except UserError as error:
            self.messages += getattr(error, "problems", [str(error)])

    def add(self, message: str) -> None:
        """Add a message."""
        self.messages.append(message)

    def add_rows(
        self,
        source: str,
        dataset: datasets.Dataset,
        wrong: npt.NDArray[np.bool_],
        what: str,
        advice: str,
    ) -> bool:
        """Add a message about rows, if there are any: their number and the first three of them.

        Args:
            source: where the rows come from.
            dataset: the rows.
            wrong: which rows are wrong, ``[rows]``.
            what: what is wrong with them.
            advice: a sentence with what to do.

        Returns:
            Whether a row is wrong.
        """
        rows = np.flatnonzero(wrong)
        if len(rows):
            places = ", ".join(describe_row(dataset, int(row)) for row in rows[:_PLACES])
            more = ", ..." if len(rows) > _PLACES else ""
            number = f"{len(rows)} row{'s' if len(rows) > 1 else ''}"
            self.add(f"{source}: {what} in {number} ({places}{more}). {advice}".rstrip())
        return len(rows) > 0
