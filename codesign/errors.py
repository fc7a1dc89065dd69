"""Errors a user can meet. Each names what is wrong, where, and what to do next.

The command line prints ``str(error)`` and exits with ``error.exit_code``; it never shows a
traceback for one of these.
"""

from __future__ import annotations


class CodesignError(Exception):
    """Base of all user-facing errors.

    ``what`` is one sentence, ``where`` names the file, node or field, ``hint`` says what to do.
    """

    exit_code = 2

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}\n  hint: {self.hint}" if self.hint else text


class MismatchError(CodesignError):
    """The circuit and the model computed different codes (exit 1)."""

    exit_code = 1


class UsageError(CodesignError):
    """A wrong argument, file or setting (exit 2)."""

    exit_code = 2


class ToolError(CodesignError):
    """A tool is missing, too old, or failed (exit 3); the hint is the exact install command."""

    exit_code = 3


class UnsupportedModel(CodesignError):
    """The model cannot be turned into hardware exactly (exit 4)."""

    exit_code = 4


class OverBudget(CodesignError):
    """The design does not fit the board (exit 5); the hint is a folding that fits."""

    exit_code = 5


class InternalError(CodesignError):
    """A fault of this program, not of the user (exit 70, ``EX_SOFTWARE``)."""

    exit_code = 70
