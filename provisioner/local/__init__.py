"""The embedded cloud (``--target local``): moto, and around it what real AWS does and moto does not."""
