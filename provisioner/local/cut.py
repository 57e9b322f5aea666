"""What is no answer: a connection that ends before one. Light, for whoever carries answers must know it."""

from __future__ import annotations


class Cut(Exception):
    """The client gets no answer, and only the cloud knows whether the work was done."""


class Unresolved(Cut):
    """The client does not find the cloud: its name leads nowhere yet, and nothing was done."""
