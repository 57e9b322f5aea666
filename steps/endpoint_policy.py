"""Who may reach what through a private way to S3; knows nothing of the way itself."""

from __future__ import annotations

from typing import Any

from provisioner.kit import Stack

FULL = {
    "Version": "2008-10-17",
    "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}],
}
"""What AWS gives an endpoint that names none. AWS PrivateLink Guide, "Control access to VPC endpoints using endpoint
policies": the principal of a gateway endpoint's policy is always ``*``, and a condition says who."""
REPOSITORIES = (
    "prod-{region}-starport-layer-bucket",
    "al2023-repos-{region}-de612dc2",
)
"""AWS's own buckets from which machines of the region read without being anybody of ours: layers of container images
(Amazon ECR User Guide, "Minimum Amazon S3 Bucket Permissions for Amazon ECR") and packages of Amazon Linux 2023
(github.com/aws-samples/data-perimeter-policy-examples, "service-owned data")."""


def s3_of(stack: Stack) -> dict[str, Any]:
    """Write the policy that lets the stack's account do what its own policies permit, and nobody else anything but
    read AWS's repositories: with the credentials of another account nothing is carried out this way."""
    buckets = [f"arn:{stack.partition}:s3:::{each.format(region=stack.region)}/*" for each in REPOSITORIES]
    ours = {"StringEquals": {"aws:PrincipalAccount": stack.account}}
    anybody = {"Effect": "Allow", "Principal": "*"}
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Sid": "Account", **anybody, "Action": "s3:*", "Resource": "*", "Condition": ours},
            {"Sid": "Repositories", **anybody, "Action": "s3:GetObject", "Resource": buckets},
        ],
    }
