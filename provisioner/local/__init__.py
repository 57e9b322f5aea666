"""The embedded cloud (``--target local``): moto, and around it what real AWS does and moto does not."""

ACCOUNT = "123456789012"
"""The account everything in it belongs to; moto's default."""
