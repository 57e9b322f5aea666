"""An environment file is either settings or a list of complaints that tell what to write; never a traceback."""

from __future__ import annotations

import json
import re
from ipaddress import IPv4Network
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic_core import PydanticUndefined

from provisioner.config import load, names
from provisioner.page import ConfigError
from provisioner.settings import TABLES, Database, Security, Settings

CHECKOUT = Path(__file__).parent.parent
ENVIRONMENTS = CHECKOUT / "environments"
HEAD = 'project = "acme"\nregion = "us-east-1"\n'
LONG = "a" * 29
CAPACITY = "[database]\nmin_acu = 0\nmax_acu = 1\n"


def complaints(folder: Path, text: str | bytes, suffix: str = "") -> list[str]:
    (folder / "qa.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as raised:
        load(folder, "qa", suffix)
    assert raised.value.path == folder / "qa.toml"
    return [str(objection) for objection in raised.value.objections]


def loaded(folder: Path, text: str, suffix: str = "") -> Settings:
    (folder / "qa.toml").write_text(text)
    return load(folder, "qa", suffix)


FAULTS = {
    # the file as a whole
    HEAD + "netwrok = 1": "netwrok: unknown key; did you mean network?",
    HEAD + "[databse]": "databse: unknown key; did you mean database?",
    HEAD + "colour = 1": "colour: unknown key; leave it out; known here are project, region, budget",
    HEAD + 'cidr = "10.0.0.0/16"': "cidr: unknown key; did you mean cidr in [network]?",
    HEAD + '[bucket]\nproject = "acme"': "bucket.project: unknown key; did you mean project above the first [table]?",
    HEAD + 'environment = "qa"': "environment: no key of the file; leave it out: the name of the file says it",
    HEAD + 'suffix = "pr-1"': "suffix: no key of the file; leave it out: the command line says it, with --suffix",
    HEAD + "network = 3": "network: 3 is not a table; write [network] above its keys",
    HEAD + "[[database]]\nmin_acu = 0": "database: a list is not a table; write [database] above its keys",
    HEAD + "bucket = false": "bucket: false is not a table; write [bucket] above its keys",
    # above the tables
    'region = "us-east-1"': "project: missing; write small letters, digits and single hyphens, a letter first",
    'project = "acme"': "region: missing; write the code of an AWS region, such as us-east-1",
    'project = "Acme"\nregion = "us-east-1"': 'project: "Acme" is not allowed; write small letters',
    'project = "acme-"\nregion = "us-east-1"': 'project: "acme-" is not allowed; write small letters',
    'project = "ac--me"\nregion = "us-east-1"': 'project: "ac--me" is not allowed; write small letters',
    'project = "acme\\n"\nregion = "us-east-1"': 'project: "acme\\n" is not allowed; write small letters',
    'project = 7\nregion = "us-east-1"': "project: 7 is not text; write small letters",
    'project = "acme"\nregion = "Virginia"': 'region: "Virginia" is not allowed; write the code of an AWS region',
    f'project = "{"a" * 33}"\nregion = "us-east-1"': "project: the stack's name " + "a" * 33 + "-qa has 36 characters",
    f'project = "{"a" * 32}"\nregion = "xx-verylong-west-1"': "the stack's name " + "a" * 32 + "-qa has 35 characters",
    # the budget
    HEAD + 'budget = "50"': 'budget: "50" is not a number; write a number from 0 to 100000',
    HEAD + "budget = true": "budget: true is not a number; write a number from 0 to 100000",
    HEAD + "budget = nan": "budget: nan is not a number; write a number from 0 to 100000",
    HEAD + "budget = -0.01": "budget: -0.01 is less than 0; write a number from 0 to 100000",
    HEAD + "budget = 1e6": "budget: 1000000.0 is more than 100000; write a number from 0 to 100000",
    # tags
    HEAD + '[tags]\n"aws:x" = "y"': 'tags.aws:x: "aws:x" starts with aws:, which is reserved; write another',
    HEAD + '[tags]\n"AWS:x" = "y"': 'tags.AWS:x: "AWS:x" starts with aws:, which is reserved',
    HEAD + '[tags]\n"provisioner:stack" = "y"': 'tags.provisioner:stack: "provisioner:stack" starts with provisioner:',
    HEAD + '[tags]\nteam = "a#b"': 'tags.team: "a#b" has a character that AWS does not take; write letters, digits',
    HEAD + "[tags]\ncost = 3": "tags.cost: 3 is not text; write text in quotes",
    HEAD + "[tags]\na.b = 'x'": "tags.a: a table is not text; write text in quotes",
    HEAD + "[tags]\n'' = 'x'": "tags.: a key is empty; write a name",
    HEAD + f"[tags]\n{'k' * 129} = 'x'": "has 129 characters; write at most 128",
    HEAD + f"[tags]\nk = '{'x' * 257}'": "has 257 characters; write at most 256",
    HEAD + "[tags]\n" + "\n".join(f"k{n} = 'x'" for n in range(41)): "tags: more than 40 of them; write at most 40",
    HEAD + "tags = 3": "tags: 3 is not a table; write [tags] above its keys",
    HEAD + "[tags]\n'[key]' = 'x'": 'tags.[key]: "[key]" has a character that AWS does not take',
    # network
    HEAD + '[network]\ncidr = "10.0.0.1/16"': "network.cidr: 10.0.0.1/16 does not start where the network starts; "
    "write 10.0.0.0/16",
    HEAD + '[network]\ncidr = "10.0.0.0/8"': "network.cidr: a /8 is too large; write a network from /16 to /22",
    HEAD + '[network]\ncidr = "10.0.0.0/23"': "network.cidr: a /23 is too small; write a network from /16 to /22",
    HEAD + '[network]\ncidr = "8.8.0.0/16"': "network.cidr: 8.8.0.0/16 is not a private network; write one inside 10.0",
    HEAD + '[network]\ncidr = "10.0.0.0"': 'network.cidr: "10.0.0.0" is not allowed; write a private IPv4 network',
    HEAD + '[network]\ncidr = "10.0.300.0/16"': "network.cidr: 10.0.300.0/16 is not an IPv4 network; write one like",
    HEAD + '[network]\ncidr = "fd00::/16"': 'network.cidr: "fd00::/16" is not allowed; write a private IPv4 network',
    HEAD + "[network]\nzones = 4": "network.zones: 4 is not allowed; write 2 or 3",
    HEAD + '[network]\nzones = "2"': 'network.zones: "2" is not allowed; write 2 or 3',
    HEAD + '[network]\nnat = "perzone"': 'network.nat: "perzone" is not allowed; write "none", "single" or "per-zone"',
    HEAD + "[network]\nnat = false": 'network.nat: false is not allowed; write "none", "single" or "per-zone"',
    # security
    HEAD + '[security]\nflow_logs = "yes"': 'security.flow_logs: "yes" is neither true nor false; write true or false',
    HEAD + "[security]\nlog_days = 31": "security.log_days: 31 is not allowed; write 1, 3, 5, 7, 14, 30, 60, 90, 120",
    HEAD + "[security]\nalerts = true": "security.alerts: the topic is encrypted and there is no key; write own_key =",
    HEAD + "hardened = true\n[security]\nown_key = false": "security.alerts: the topic is encrypted",
    f'project = "{LONG}"\nregion = "ap-southeast-1"\n[security]\naccess_logs = true\n[bucket]': "security.access_logs: "
    f"{LONG}-qa has 32 characters, too many for the name of a log bucket; make it at most 30, or write",
    # bucket
    HEAD + '[bucket]\nkeep_data = "yes"': 'bucket.keep_data: "yes" is neither true nor false; write true or false',
    HEAD + "[bucket]\nkeep_data = 1": "bucket.keep_data: 1 is neither true nor false; write true or false",
    HEAD + "[bucket]\nnoncurrent_days = 0": "bucket.noncurrent_days: 0 is less than 1; write a whole number from 1 to",
    HEAD + "[bucket]\nabort_uploads_days = 7.5": "bucket.abort_uploads_days: 7.5 is not a whole number; write a whole",
    HEAD + "[bucket]\nnoncurrent_days = 0x" + "f" * 6000: "bucket.noncurrent_days: so large a number is more than 3650",
    # database
    HEAD + "[database]\nmin_acu = 0\nmax_acu = 0x" + "f" * 6000: "database.max_acu: so large a number is not a number",
    HEAD + "[database]\nmax_acu = 1": "database.min_acu: missing; write a number from 0 to 256 in steps of 0.5",
    HEAD + "[database]\nmin_acu = 0.3\nmax_acu = 1": "database.min_acu: 0.3 is not a multiple of 0.5; write 0.5",
    HEAD
    + "[database]\nmin_acu = 1e308\nmax_acu = 1": "database.min_acu: 1e+308 is not a multiple of 0.5; write a number",
    HEAD + "[database]\nmin_acu = -1e308\nmax_acu = 1": "database.min_acu: -1e+308 is not a multiple of 0.5; write a",
    HEAD + "[database]\nmin_acu = 1e400\nmax_acu = 1": "database.min_acu: inf is not a number; write a number from 0",
    HEAD
    + "[database]\nmin_acu = 300.3\nmax_acu = 1": "database.min_acu: 300.3 is not a multiple of 0.5; write a number",
    HEAD + "[database]\nmin_acu = -0.5\nmax_acu = 1": "database.min_acu: -0.5 is less than 0; write a number from 0",
    HEAD + "[database]\nmin_acu = nan\nmax_acu = 1": "database.min_acu: nan is not a number; write a number from 0",
    HEAD + "[database]\nmin_acu = true\nmax_acu = 1": "database.min_acu: true is not a number; write a number from 0",
    HEAD + "[database]\nmin_acu = 0\nmax_acu = 0.5": "database.max_acu: 0.5 is less than 1; write a number from 1 to",
    HEAD + "[database]\nmin_acu = 0\nmax_acu = 300": "database.max_acu: 300 is more than 256; write a number from 1",
    HEAD + "[database]\nmin_acu = 4\nmax_acu = 2": "database.max_acu: 2 is less than min_acu; write 4 or more",
    HEAD + "[database]\nmin_acu = 1\nmax_acu = 2\nauto_pause_seconds = 600": "database.auto_pause_seconds: without "
    "effect while min_acu is above 0; leave it out, or write min_acu = 0",
    HEAD + CAPACITY + "auto_pause_seconds = 60": "database.auto_pause_seconds: 60 is less than 300; write a whole",
    HEAD + CAPACITY + "instances = 0": "database.instances: 0 is less than 1; write a whole number from 1 to 15",
    HEAD
    + CAPACITY
    + "engine_version = 16.6": 'database.engine_version: 16.6 is not text; write a major version ("16")',
    HEAD + CAPACITY + 'engine_version = "16.x"': 'database.engine_version: "16.x" is not allowed; write a major',
    HEAD + CAPACITY + 'name = "1st"': 'database.name: "1st" is not allowed; write 1 to 63 letters, digits and',
    HEAD + CAPACITY + f'name = "{"a" * 64}"': "is not allowed; write 1 to 63 letters, digits and underscores",
    HEAD + CAPACITY + 'name = "user"': 'database.name: "user" is reserved by PostgreSQL or RDS; write another name',
    HEAD + CAPACITY + "port = 80": "database.port: 80 is less than 1150; write a whole number from 1150 to 65535",
    HEAD + CAPACITY + 'master_user = "Admin"': 'database.master_user: "Admin" is reserved by PostgreSQL or RDS',
    HEAD + CAPACITY + 'master_user = "pg_boss"': 'database.master_user: "pg_boss" is reserved by PostgreSQL or RDS',
    HEAD + CAPACITY + 'kms_key = "my key"': 'database.kms_key: "my key" is not allowed; write the ARN of a key, its id',
    HEAD + CAPACITY + "backup_days = 36": "database.backup_days: 36 is more than 35; write a whole number from 1 to 35",
    HEAD + CAPACITY + "backup_days = 2024-01-01": "database.backup_days: 2024-01-01 is not a whole number; write a",
    HEAD + CAPACITY + "deletion-protection = true": "database.deletion-protection: unknown key; did you mean "
    "deletion_protection?",
    HEAD + CAPACITY + "keep_data = true": "database.keep_data: unknown key; did you mean keep_data in [bucket]?",
}


@pytest.mark.parametrize(("text", "complaint"), FAULTS.items(), ids=FAULTS.values())
def test_a_fault_is_told_with_its_key_and_what_to_write(tmp_path: Path, text: str, complaint: str) -> None:
    (found,) = complaints(tmp_path, text)
    assert complaint in found


UNREADABLE = {
    'project = "acme': "end of document: not TOML: Unterminated string",
    "project = acme": 'line 1, column 11: not TOML: Invalid value; write key = value, one a line, text in "quotes"',
    HEAD + "[network\nzones = 2": "line 3, column 9: not TOML: ",
    HEAD + "[bucket]\n[bucket]": "line 4, column 8: not TOML: Cannot declare",
    HEAD + "region = 'x'": "end of document: not TOML: a key is written twice",
    "project = [": "end of document: not TOML: Invalid value",
    "port = " + "9" * 5000: "qa.toml: not TOML: ",
    "x = " + "[" * 5000: "qa.toml: not TOML: ",
    HEAD.encode() + b"\n[tags]\nteam = '\xe9quipe'": "line 5: not UTF-8; save the file as UTF-8",
}


@pytest.mark.parametrize(("text", "complaint"), UNREADABLE.items(), ids=UNREADABLE.values())
def test_a_file_that_is_no_toml_is_told_with_the_line(tmp_path: Path, text: str | bytes, complaint: str) -> None:
    (found,) = complaints(tmp_path, text)
    assert found.startswith(complaint)


def test_all_faults_are_told_at_once_in_the_order_of_the_file_with_their_lines(tmp_path: Path) -> None:
    text = """\
project = "acme"
netwrok = 1

[database]
name = "user"
min_acu = 0.3
instnces = 2

[network]
nat = "one"
"team" = "x"
"""
    (tmp_path / "qa.toml").write_text(text)
    with pytest.raises(ConfigError) as raised:
        load(tmp_path, "qa", "a_b")
    assert str(raised.value).replace(f"{tmp_path}/", "").splitlines() == [
        "qa.toml: region: missing; write the code of an AWS region, such as us-east-1",
        'qa.toml: suffix: "a_b" is not allowed; write small letters, digits and single hyphens, such as pr-42',
        "qa.toml:2: netwrok: unknown key; did you mean network?",
        "qa.toml:4: database.max_acu: missing; write a number from 1 to 256 in steps of 0.5",
        'qa.toml:5: database.name: "user" is reserved by PostgreSQL or RDS; write another name',
        "qa.toml:6: database.min_acu: 0.3 is not a multiple of 0.5; write 0.5",
        "qa.toml:7: database.instnces: unknown key; did you mean instances?",
        'qa.toml:10: network.nat: "one" is not allowed; write "none", "single" or "per-zone"',
        "qa.toml:11: network.team: unknown key; leave it out; known here are cidr, zones, nat, peers",
    ]


def test_a_fault_of_one_key_does_not_hide_that_two_others_contradict_each_other(tmp_path: Path) -> None:
    found = complaints(tmp_path, HEAD + "[database]\nport = 1\nmin_acu = 4\nmax_acu = 2\nauto_pause_seconds = 300")
    assert [each.split(":")[0] for each in found] == [
        "database.port",
        "database.max_acu",
        "database.auto_pause_seconds",
    ]


def test_a_file_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    (tmp_path / "dev.toml").touch()
    (tmp_path / "prod.toml").touch()
    for asked, remedy in (("qa", "choose one of dev, prod; "), ("pord", "did you mean prod? Here are dev, prod; ")):
        with pytest.raises(ConfigError) as raised:
            load(tmp_path, asked)
        (objection,) = raised.value.objections
        assert (objection.where, objection.what) == ("environment", f"there is no {asked}.toml")
        assert objection.remedy == remedy + "`provisioner environments --write` adds the examples"


def test_a_folder_without_environments_is_told_with_the_command_that_fills_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no dev.toml; .*`provisioner environments --write` puts examples"):
        load(tmp_path / "nowhere", "dev")


@pytest.mark.parametrize("environment", ["", "Dev", "dev-1", "1dev", "dev.toml", "../dev", "dev\n", "d" * 13])
def test_an_unlawful_environment_name_never_becomes_a_path(tmp_path: Path, environment: str) -> None:
    (tmp_path / "dev.toml").write_text(HEAD)
    with pytest.raises(ConfigError, match=r"cannot be an environment's name; .*dev") as raised:
        load(tmp_path, environment)
    assert raised.value.path == tmp_path


def test_a_file_that_cannot_be_read_is_told_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "dev.toml").mkdir()
    with pytest.raises(ConfigError, match=r"environment: cannot be read \(Is a directory\); make it a file"):
        load(tmp_path, "dev")


@pytest.mark.parametrize("suffix", ["-a", "a-", "a--b", "A", "a_b", "a.b", "a\n"])
def test_an_unlawful_suffix_is_told(tmp_path: Path, suffix: str) -> None:
    (found,) = complaints(tmp_path, HEAD, suffix)
    assert found.startswith(f"suffix: {json.dumps(suffix)} is not allowed; write small letters")


def test_a_suffix_that_makes_the_stacks_name_too_long_is_told_as_the_suffix(tmp_path: Path) -> None:
    (found,) = complaints(tmp_path, HEAD, "a" * 28)
    assert re.fullmatch(r"suffix: the stack's name acme-qa-a+ has 36 characters .*; make it at most 35", found)
    assert loaded(tmp_path, HEAD, "a" * 27).suffix == "a" * 27


def test_the_least_file_gives_the_defaults(tmp_path: Path) -> None:
    least = loaded(tmp_path, HEAD)
    assert least.model_dump() == {
        "project": "acme",
        "region": "us-east-1",
        "environment": "qa",
        "suffix": "",
        "budget": None,
        "accounts": None,
        "production": False,
        "hardened": False,
        "tags": {},
        "network": {"cidr": "10.0.0.0/16", "zones": 2, "nat": "none", "peers": ()},
        "security": dict.fromkeys(Security.model_fields),
        "bucket": None,
        "database": None,
    }
    assert loaded(tmp_path, HEAD + "[bucket]\n" + CAPACITY).model_dump(include={"bucket", "database"}) == {
        "bucket": {"keep_data": True, "noncurrent_days": 30, "abort_uploads_days": 7},
        "database": {
            "min_acu": 0.0,
            "max_acu": 1.0,
            "auto_pause_seconds": 300,
            "instances": 1,
            "engine_version": None,
            "name": "app",
            "port": 5432,
            "master_user": "provisioner",
            "kms_key": None,
            "backup_days": 1,
            "deletion_protection": False,
            "final_snapshot": True,
        },
    }


def test_what_the_file_does_not_name_is_implied(tmp_path: Path) -> None:
    found = loaded(tmp_path, HEAD + CAPACITY + 'name = "app"')
    assert found.implied("database", "name", "port", "kms_key") == {"port", "kms_key"}
    assert found.implied("network", "cidr") == {"cidr"}
    assert found.implied("bucket", "keep_data") == {"keep_data"}
    assert found.implied("", "region", "tags") == {"tags"}


def test_settings_are_frozen(tmp_path: Path) -> None:
    found = loaded(tmp_path, HEAD)
    with pytest.raises(ValidationError, match="frozen"):
        found.network.zones = 3


LAWFUL = {
    "the key's ARN": 'kms_key = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"',
    "an alias": 'kms_key = "alias/acme/prod"',
    "an alias's ARN": 'kms_key = "arn:aws-us-gov:kms:us-gov-west-1:123456789012:alias/acme"',
    "the key's id": 'kms_key = "1234abcd-12ab-34cd-56ef-1234567890ab"',
    "a multi-region key's id": 'kms_key = "mrk-1234abcd12ab34cd56ef1234567890ab"',
    "a major version": 'engine_version = "17"',
    "a minimum version": 'engine_version = "16.10"',
    "the default of the master user, named": 'master_user = "provisioner"',
}


@pytest.mark.parametrize("line", LAWFUL.values(), ids=LAWFUL.keys())
def test_every_lawful_way_to_write_a_value_is_taken(tmp_path: Path, line: str) -> None:
    key, _, value = line.partition(" = ")
    assert getattr(loaded(tmp_path, HEAD + CAPACITY + line).database, key) == json.loads(value)


def test_a_byte_order_mark_and_foreign_line_ends_are_read_over(tmp_path: Path) -> None:
    (tmp_path / "qa.toml").write_bytes(b"\xef\xbb\xbf" + HEAD.replace("\n", "\r\n").encode())
    assert load(tmp_path, "qa").project == "acme"


VALUES = st.recursive(
    st.booleans()
    | st.integers()
    | st.floats().map(lambda f: f if f == f else 0.0)
    | st.text('aA0-_.:/ \\"\n€', max_size=9),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=3,
)
KEYS = {table: [*model.model_fields, "stray"] for table, model in TABLES.items()}


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200, derandomize=True
)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            **{key: VALUES for key in KEYS[""] if key not in TABLES},
            **{
                table: VALUES | st.dictionaries(st.sampled_from(keys), VALUES, max_size=4)
                for table, keys in KEYS.items()
                if table
            },
        },
    )
)
def test_whatever_the_file_holds_it_is_settings_or_complaints(tmp_path: Path, document: dict[str, Any]) -> None:
    (tmp_path / "qa.toml").write_text("\n".join(f"{key} = {toml(value)}" for key, value in document.items()))
    outcome: Settings | ConfigError
    try:
        outcome = load(tmp_path, "qa")
    except ConfigError as error:
        outcome = error
    if isinstance(outcome, ConfigError):
        assert outcome.objections
        assert all(each.where and each.what and each.remedy.removeprefix("write ") for each in outcome.objections)


def test_only_lawful_names_are_environments(tmp_path: Path) -> None:
    for file in ("dev.toml", "prod.toml", "my-env.toml", "Dev2.toml", "notes.txt"):
        (tmp_path / file).touch()
    assert names(tmp_path) == ["dev", "prod"]
    assert names(tmp_path / "nowhere") == []


def test_the_checkout_has_three_environments() -> None:
    assert names(ENVIRONMENTS) == ["dev", "prod", "staging"]


@pytest.mark.parametrize("file", ["dev.toml", "staging.toml", "prod.toml"])
def test_the_files_shipped_are_the_files_of_the_checkout(file: str) -> None:
    assert (CHECKOUT / "provisioner/templates" / file).read_bytes() == (ENVIRONMENTS / file).read_bytes()


@pytest.mark.parametrize("file", ["dev.toml", "staging.toml", "prod.toml"])
def test_a_file_shipped_is_short_and_fits_the_screen(file: str) -> None:
    lines = (ENVIRONMENTS / file).read_text().splitlines()
    assert len(lines) <= 60
    assert max(map(len, lines)) <= 120


def database(environment: str) -> Database:
    found = load(ENVIRONMENTS, environment).database
    assert found
    return found


def test_no_two_environments_overlap() -> None:
    networks = [IPv4Network(load(ENVIRONMENTS, each).network.cidr) for each in names(ENVIRONMENTS)]
    assert not any(one.overlaps(other) for one, other in combinations(networks, 2))


def test_dev_costs_nothing_while_nobody_uses_it() -> None:
    assert (database("dev").min_acu, database("dev").max_acu, database("dev").instances) == (0, 1, 1)
    assert load(ENVIRONMENTS, "dev").network.nat == "none"


def test_staging_has_prods_shape_and_goes_without_a_flag() -> None:
    staging, prod = database("staging"), database("prod")
    assert staging.instances == prod.instances
    assert staging.max_acu < prod.max_acu
    assert not staging.deletion_protection
    assert not staging.final_snapshot
    bucket = load(ENVIRONMENTS, "staging").bucket
    assert bucket is not None
    assert bucket.keep_data


def test_prod_survives_a_zone_and_a_careless_teardown() -> None:
    prod = load(ENVIRONMENTS, "prod")
    assert prod.network.nat == "per-zone"
    assert prod.bucket is not None
    assert prod.bucket.keep_data
    kept = database("prod")
    assert (kept.instances, kept.backup_days, kept.deletion_protection, kept.final_snapshot) == (2, 14, True, True)


def documented(key: str, default: Any) -> str:
    if default is PydanticUndefined:
        return {"tags": "`{}`", "network": "its defaults", "security": "its defaults"}.get(key, "required")
    return "absent" if default is None else f"`{json.dumps(default)}`"


def test_the_page_on_the_file_names_every_key_with_its_default() -> None:
    page = (CHECKOUT / "docs/environment-file.md").read_text()
    rows = dict(re.findall(r"^\| `([a-z_.]+)` \| .*? \| (.*?) \| .+ \|$", page, re.MULTILINE))
    assert rows == {
        f"{table}.{key}".strip("."): documented(key, field.default)
        for table, model in TABLES.items()
        for key, field in model.model_fields.items()
        if (table, key) not in {("", "environment"), ("", "suffix")}
    }


@pytest.mark.parametrize(("written", "taken"), [("-0.0", "0.0"), ("1e-320", "0.0"), ("0.5", "0.5"), ("1", "1.0")])
def test_a_capacity_is_exactly_a_multiple_of_a_half(tmp_path: Path, written: str, taken: str) -> None:
    database = loaded(tmp_path, f"{HEAD}[database]\nmin_acu = {written}\nmax_acu = 1\n").database
    assert database is not None
    assert repr(database.min_acu) == taken
