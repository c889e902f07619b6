"""How ``--help`` looks."""

import argparse


class HelpFormatter(argparse.HelpFormatter):
    """Wraps all texts but examples, which stay on their lines so that they can be copied."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith("example"):
            return "\n".join(indent + line for line in text.splitlines())
        return super()._fill_text(text, width, indent)


def examples(*commands: str) -> str:
    """An epilog that shows commands, one a line."""
    return "\n  ".join([f"example{'s' if len(commands) > 1 else ''}:", *commands])
