"""``catvec demo``."""

from __future__ import annotations

from catvec.cli import _options as options


def demo(out: options.DemoOut = "flights.catvec", rows: options.DemoRows = None) -> None:
    """See catvec at work on the flights out of New York in 2013."""
