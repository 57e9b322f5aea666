"""Provision, resume and tear down whole AWS environments; importing it imports nothing else."""

__version__ = "0.1.0"
