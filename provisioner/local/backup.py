"""AWS Backup, of which moto knows too little: vaults and what is in them, plans and what they copy.

A plan copies nothing by itself here: a copy is made by StartBackupJob, at once. What there is stands in the cloud's
memory. AWS Backup API reference, unless something else is said.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from provisioner.local import iam, kms
from provisioner.local.protocol import reply as answer
from provisioner.local.rules import Ask, Refusal, Reply, Rulebook

rules = Rulebook("backup")

_MEMORY = "backup"
_VAULT = re.compile(r"[a-zA-Z0-9_-]{2,50}")
_PART = "([^/]+)"
_ROUTES = {
    ("PUT", f"/backup-vaults/{_PART}"): "CreateBackupVault",
    ("GET", f"/backup-vaults/{_PART}"): "DescribeBackupVault",
    ("DELETE", f"/backup-vaults/{_PART}"): "DeleteBackupVault",
    ("GET", "/backup-vaults"): "ListBackupVaults",
    ("GET", f"/backup-vaults/{_PART}/recovery-points"): "ListRecoveryPointsByBackupVault",
    ("DELETE", f"/backup-vaults/{_PART}/recovery-points/(.+)"): "DeleteRecoveryPoint",
    ("PUT", "/backup/plans"): "CreateBackupPlan",
    ("GET", "/backup/plans"): "ListBackupPlans",
    ("GET", f"/backup/plans/{_PART}"): "GetBackupPlan",
    ("POST", f"/backup/plans/{_PART}"): "UpdateBackupPlan",
    ("DELETE", f"/backup/plans/{_PART}"): "DeleteBackupPlan",
    ("PUT", f"/backup/plans/{_PART}/selections"): "CreateBackupSelection",
    ("GET", f"/backup/plans/{_PART}/selections"): "ListBackupSelections",
    ("GET", f"/backup/plans/{_PART}/selections/{_PART}"): "GetBackupSelection",
    ("DELETE", f"/backup/plans/{_PART}/selections/{_PART}"): "DeleteBackupSelection",
    ("PUT", "/backup-jobs"): "StartBackupJob",
    ("GET", "/account-settings"): "DescribeRegionSettings",
    ("GET", "/tags/(.+)"): "ListTags",
    ("POST", "/tags/(.+)"): "TagResource",
    ("POST", "/untag/(.+)"): "UntagResource",
}
"""The operations of a REST service, by method and path."""
_COPIED = ("Aurora", "RDS", "S3", "EBS", "EFS")


def addressed(environ: Mapping[str, Any]) -> str:
    """Read the operation from a REST request, "" where it is none of these."""
    method, path = environ["REQUEST_METHOD"], unquote(environ["PATH_INFO"]).rstrip("/")
    found = (name for (verb, pattern), name in _ROUTES.items() if verb == method and re.fullmatch(pattern, path))
    return next(found, "")


def _parts(ask: Ask) -> tuple[str, ...]:
    path = unquote(ask.environ["PATH_INFO"]).rstrip("/")
    pattern = next(each for (verb, each), name in _ROUTES.items() if name == ask.action)
    matched = re.fullmatch(pattern, path)
    return matched.groups() if matched else ()


def _body(ask: Ask) -> dict[str, Any]:
    return dict(json.loads(ask.body or b"{}"))


def _held(ask: Ask, what: str) -> dict[str, dict[str, Any]]:
    """Give what there is of something in the region, by id."""
    held: dict[str, dict[str, Any]] = ask.memory.setdefault((_MEMORY, ask.region, what), {})
    return held


def _arn(ask: Ask, kind: str, name: str) -> str:
    return f"arn:aws:backup:{ask.region}:{ask.account}:{kind}:{name}"


def _missing(text: str) -> Refusal:
    return Refusal("ResourceNotFoundException", text)


def _repeated(ask: Ask, what: str, made: Mapping[str, Any]) -> Reply | None:
    """Answer a create that was made already with the same CreatorRequestId as it was answered then."""
    answered = _held(ask, "answers")
    token = f"{what} {_body(ask).get('CreatorRequestId')}"
    if made:
        answered[token] = dict(made)
        return None
    return answer(ask, answered[token]) if token in answered else None


@rules.before("CreateBackupVault")
def a_vault_is_made_once(ask: Ask) -> Reply:
    """AlreadyExistsException for another request under its name; InvalidParameterValueException for a name or a key
    that will not do; under aws/backup unless said."""
    (name,), body = _parts(ask), _body(ask)
    if again := _repeated(ask, f"vault {name}", {}):
        return again
    if not _VAULT.fullmatch(name):
        raise Refusal("InvalidParameterValueException", f"Invalid Backup vault name: {name}")
    if name in _held(ask, "vaults"):
        raise Refusal("AlreadyExistsException", "Backup vault with the same name already exists")
    key = kms.usable(ask, body.get("EncryptionKeyArn") or "alias/aws/backup")
    if not key:
        text = f"The provided key {body.get('EncryptionKeyArn')} is not valid or cannot be used."
        raise Refusal("InvalidParameterValueException", text)
    vault = {
        "BackupVaultName": name,
        "BackupVaultArn": _arn(ask, "backup-vault", name),
        "CreationDate": ask.now,
        "EncryptionKeyArn": key,
        "CreatorRequestId": body.get("CreatorRequestId", ""),
        "Locked": False,
    }
    _held(ask, "vaults")[name] = vault
    _held(ask, "tags")[vault["BackupVaultArn"]] = dict(body.get("BackupVaultTags", {}))
    made = {key: vault[key] for key in ("BackupVaultName", "BackupVaultArn", "CreationDate")}
    _repeated(ask, f"vault {name}", made)
    return answer(ask, made)


@rules.before("DescribeBackupVault")
def a_vault_is_told(ask: Ask) -> Reply:
    """AccessDeniedException where there is none. github.com/hashicorp/terraform-provider-aws, internal/service/backup
    takes that for not found."""
    (name,) = _parts(ask)
    if name not in _held(ask, "vaults"):
        raise Refusal("AccessDeniedException", "Insufficient privileges to perform this action.", 403)
    return answer(ask, _vault(ask, name))


@rules.before("ListBackupVaults")
def vaults_are_told(ask: Ask) -> Reply:
    """Every one, with how much is in it."""
    return answer(ask, {"BackupVaultList": [_vault(ask, name) for name in _held(ask, "vaults")]})


@rules.before("DeleteBackupVault")
def a_vault_with_something_in_it_stays(ask: Ask) -> Reply:
    """InvalidRequestException; ResourceNotFoundException."""
    (name,) = _parts(ask)
    vault = _known_vault(ask, name)
    if points := _points(ask, name):
        text = f"Backup vault cannot be deleted because it contains recovery points: {len(points)}"
        raise Refusal("InvalidRequestException", text)
    del _held(ask, "vaults")[name]
    _held(ask, "tags").pop(vault["BackupVaultArn"], None)
    for token in [each for each in _held(ask, "answers") if each.startswith(f"vault {name} ")]:
        del _held(ask, "answers")[token]
    return answer(ask, {})


def _known_vault(ask: Ask, name: str) -> dict[str, Any]:
    if name not in _held(ask, "vaults"):
        raise _missing(f"Backup vault {name} not found")
    return _held(ask, "vaults")[name]


def _vault(ask: Ask, name: str) -> dict[str, Any]:
    return {**_held(ask, "vaults")[name], "NumberOfRecoveryPoints": len(_points(ask, name))}


@rules.before("StartBackupJob")
def a_copy_is_made(ask: Ask) -> Reply:
    """It is there at once, under the key of the cluster it is a copy of. AWS Backup Developer Guide, "Encryption for
    backups": Aurora is not encrypted by the vault's key."""
    body = _body(ask)
    _known_vault(ask, body["BackupVaultName"])
    name = body["ResourceArn"].rpartition(":")[2]
    if name not in ask.rds.clusters:
        raise _missing(f"Resource {body['ResourceArn']} was not found.")
    job = str(uuid.uuid4())
    arn = f"arn:aws:rds:{ask.region}:{ask.account}:cluster-snapshot:awsbackup:job-{job}"
    _held(ask, "points")[arn] = {
        "RecoveryPointArn": arn,
        "BackupVaultName": body["BackupVaultName"],
        "ResourceArn": body["ResourceArn"],
        "ResourceType": "Aurora",
        "Status": "COMPLETED",
        "CreationDate": ask.now,
        "EncryptionKeyArn": ask.rds.clusters[name].kms_key_id,
        "IsEncrypted": True,
    }
    return answer(ask, {"BackupJobId": job, "RecoveryPointArn": arn, "CreationDate": ask.now})


@rules.before("ListRecoveryPointsByBackupVault")
def copies_are_told(ask: Ask) -> Reply:
    """All that are in the vault."""
    (name,) = _parts(ask)
    _known_vault(ask, name)
    return answer(ask, {"RecoveryPoints": _points(ask, name)})


@rules.before("DeleteRecoveryPoint")
def a_copy_is_deleted(ask: Ask) -> Reply:
    """ResourceNotFoundException where it is not in that vault."""
    vault, arn = _parts(ask)
    if not any(each["RecoveryPointArn"] == arn for each in _points(ask, vault)):
        raise _missing(f"Recovery point {arn} not found")
    del _held(ask, "points")[arn]
    return answer(ask, {})


def _points(ask: Ask, vault: str) -> list[dict[str, Any]]:
    return [each for each in _held(ask, "points").values() if each["BackupVaultName"] == vault]


@rules.before("CreateBackupPlan")
def a_plan_is_made_once_for_a_token(ask: Ask) -> Reply:
    """The same CreatorRequestId is the same plan; the same document is AlreadyExistsException; several plans may have
    one name."""
    body = _body(ask)
    if again := _repeated(ask, "plan", {}):
        return again
    document = _checked(ask, body["BackupPlan"])
    if any(_said(each["BackupPlan"]) == _said(document) for each in _held(ask, "plans").values()):
        raise Refusal("AlreadyExistsException", "Backup plan with the same plan document already exists")
    id = str(uuid.uuid4())
    plan: dict[str, Any] = {"BackupPlanId": id, "BackupPlanArn": _arn(ask, "backup-plan", id), "CreationDate": ask.now}
    plan |= {"VersionId": uuid.uuid4().hex, "BackupPlan": document}
    _held(ask, "plans")[id] = plan
    _held(ask, "tags")[plan["BackupPlanArn"]] = dict(body.get("BackupPlanTags", {}))
    made = {key: value for key, value in plan.items() if key != "BackupPlan"}
    _repeated(ask, "plan", made)
    return answer(ask, made)


def _checked(ask: Ask, document: dict[str, Any]) -> dict[str, Any]:
    """See that the vaults of a plan are there, and write into its rules what AWS does."""
    for rule in document["Rules"]:
        if rule["TargetBackupVaultName"] not in _held(ask, "vaults"):
            text = f"Backup vault with name '{rule['TargetBackupVaultName']}' does not exist."
            raise Refusal("InvalidParameterValueException", text)
    given = {"StartWindowMinutes": 480, "CompletionWindowMinutes": 10080, "ScheduleExpressionTimezone": "Etc/UTC"}
    given |= {"ScheduleExpression": "cron(0 5 ? * * *)", "EnableContinuousBackup": False}
    rules_of = [{**given, **rule, "RuleId": str(uuid.uuid4())} for rule in document["Rules"]]
    return {**document, "Rules": rules_of}


def _said(document: Mapping[str, Any]) -> Any:
    rules_of = [{key: value for key, value in rule.items() if key != "RuleId"} for rule in document["Rules"]]
    return {**document, "Rules": rules_of}


@rules.before("GetBackupPlan")
def a_plan_is_told(ask: Ask) -> Reply:
    """With its document."""
    return answer(ask, _plan(ask))


@rules.before("ListBackupPlans")
def plans_are_told(ask: Ask) -> Reply:
    """By name and id; those deleted are not."""
    listed = [
        {**{key: value for key, value in each.items() if key != "BackupPlan"}, "BackupPlanName": _name(each)}
        for each in _held(ask, "plans").values()
    ]
    return answer(ask, {"BackupPlansList": listed})


@rules.before("UpdateBackupPlan")
def a_plan_is_replaced(ask: Ask) -> Reply:
    """By another document, as a new version."""
    plan = _plan(ask)
    plan["BackupPlan"] = _checked(ask, _body(ask)["BackupPlan"])
    plan["VersionId"] = uuid.uuid4().hex
    return answer(ask, {key: value for key, value in plan.items() if key != "BackupPlan"})


@rules.before("DeleteBackupPlan")
def a_plan_with_selections_stays(ask: Ask) -> Reply:
    """InvalidRequestException; AWS's words as quoted in public threads."""
    plan = _plan(ask)
    if _selections(ask, plan["BackupPlanId"]):
        text = "Related backup plan selections must be deleted prior to backup plan deletion"
        raise Refusal("InvalidRequestException", text)
    del _held(ask, "plans")[plan["BackupPlanId"]]
    _held(ask, "tags").pop(plan["BackupPlanArn"], None)
    answers = _held(ask, "answers")
    for token in [each for each, made in answers.items() if made.get("BackupPlanId") == plan["BackupPlanId"]]:
        del answers[token]
    return answer(ask, {key: plan[key] for key in ("BackupPlanId", "BackupPlanArn", "VersionId")})


def _plan(ask: Ask) -> dict[str, Any]:
    id = _parts(ask)[0]
    if id not in _held(ask, "plans"):
        raise _missing("Failed reading Backup plan with provided version")
    return _held(ask, "plans")[id]


def _name(plan: Mapping[str, Any]) -> str:
    return str(plan["BackupPlan"]["BackupPlanName"])


@rules.before("CreateBackupSelection")
def a_selection_is_made_once_for_a_name(ask: Ask) -> Reply:
    """The same CreatorRequestId is the same selection; a name is used once in a plan; the role has to be there and one
    that AWS Backup can assume (InvalidParameterValueException, in words of public threads)."""
    plan, body = _plan(ask)["BackupPlanId"], _body(ask)
    if again := _repeated(ask, f"selection {plan}", {}):
        return again
    selection = body["BackupSelection"]
    if any(each["BackupSelection"]["SelectionName"] == selection["SelectionName"] for each in _selections(ask, plan)):
        raise Refusal("AlreadyExistsException", "Backup selection with the same name already exists")
    if not iam.assumable(ask, selection["IamRoleArn"], "backup.amazonaws.com"):
        text = f"IAM Role {selection['IamRoleArn']} cannot be assumed by AWS Backup"
        raise Refusal("InvalidParameterValueException", text)
    id = str(uuid.uuid4())
    made = {"SelectionId": id, "BackupPlanId": plan, "CreationDate": ask.now}
    _held(ask, "selections")[id] = {**made, "BackupSelection": {**_EMPTY, **selection}}
    _repeated(ask, f"selection {plan}", made)
    return answer(ask, made)


_EMPTY: Mapping[str, Any] = {
    "ListOfTags": [],
    "NotResources": [],
    "Conditions": {"StringEquals": [], "StringNotEquals": [], "StringLike": [], "StringNotLike": []},
}
"""What AWS tells of a selection that does not say it."""


@rules.before("ListBackupSelections")
def selections_are_told(ask: Ask) -> Reply:
    """By name, without what they select."""
    listed = [
        {**{key: each[key] for key in ("SelectionId", "BackupPlanId", "CreationDate")}, **_whose(each)}
        for each in _selections(ask, _plan(ask)["BackupPlanId"])
    ]
    return answer(ask, {"BackupSelectionsList": listed})


def _whose(selection: Mapping[str, Any]) -> dict[str, Any]:
    return {key: selection["BackupSelection"][key] for key in ("SelectionName", "IamRoleArn")}


@rules.before("GetBackupSelection")
def a_selection_is_told(ask: Ask) -> Reply:
    """With what it selects; what was not said is an empty list."""
    return answer(ask, _selection(ask))


@rules.before("DeleteBackupSelection")
def a_selection_is_deleted(ask: Ask) -> Reply:
    """Its name is free again."""
    del _held(ask, "selections")[_selection(ask)["SelectionId"]]
    return answer(ask, {})


def _selections(ask: Ask, plan: str) -> list[dict[str, Any]]:
    return [each for each in _held(ask, "selections").values() if each["BackupPlanId"] == plan]


def _selection(ask: Ask) -> dict[str, Any]:
    plan, id = _parts(ask)
    if all(each["SelectionId"] != id for each in _selections(ask, plan)):
        raise _missing(f"Cannot find Backup plan {plan} or selection {id}")
    return _held(ask, "selections")[id]


@rules.before("ListTags")
def tags_are_told(ask: Ask) -> Reply:
    """ResourceNotFoundException of what is gone."""
    return answer(ask, {"Tags": _tags(ask)})


@rules.before("TagResource")
def tags_are_added(ask: Ask) -> Reply:
    """Those that are there already get another value."""
    _tags(ask).update(_body(ask)["Tags"])
    return answer(ask, {})


@rules.before("UntagResource")
def tags_are_taken(ask: Ask) -> Reply:
    """Those named."""
    tags = _tags(ask)
    for key in _body(ask)["TagKeyList"]:
        tags.pop(key, None)
    return answer(ask, {})


def _tags(ask: Ask) -> dict[str, Any]:
    (arn,) = _parts(ask)
    if arn not in _held(ask, "tags"):
        raise _missing(f"{arn} not found")
    return _held(ask, "tags")[arn]


@rules.before("DescribeRegionSettings")
def aurora_is_backed_up(ask: Ask) -> Reply:
    """Every kind is opted in, as in an account that nobody changed. AWS Backup Developer Guide, "Service opt-in"."""
    return answer(ask, {"ResourceTypeOptInPreference": dict.fromkeys(_COPIED, True)})
