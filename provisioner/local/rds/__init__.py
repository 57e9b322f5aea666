"""What RDS does and moto does not, a room for each kind of its resources; ``rules`` is the whole of it.

The rules of an action run in the order in which these rooms are opened.
"""

from provisioner.local.rds import book, offers, clusters, instances, groups, subscriptions, watching  # noqa: I001
from provisioner.local.rds.book import rules

__all__ = ["book", "clusters", "groups", "instances", "offers", "rules", "subscriptions", "watching"]
