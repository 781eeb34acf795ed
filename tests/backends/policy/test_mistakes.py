"""Typical mistakes in files of rules: each is named with its line, and with what would be right."""

import pytest

from swarmlib import Invalid
from swarmlib_backends.policy import document

RULE = '[[rule]]\nallow = ["ContainerList"]\n'
CONTAINER = RULE + "[rule.container]\n"
CHANGE = RULE + "[rule.change]\n"
REDACT = RULE + "[rule.redact]\n"


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        (RULE + 'deny = "no\n', 3, "Illegal character '\\n' (at line 3, column 11)"),
        ('[[rules]]\nallow = ["ContainerList"]\n', 1, "unknown key 'rules'; did you mean 'rule'?"),
        (
            '[rule]\nallow = ["ContainerList"]\n',
            1,
            "rule must be tables, each with the head [[rule]], not {'allow': ['ContainerList']}",
        ),
        (RULE + '[[rule]]\nname = 5\nallow = ["ImageList"]\n', 4, "name must be a text, not 5"),
        (RULE + 'allow = ["ImageList"]\n', 3, "Cannot overwrite a value (at line 3, column 22)"),
        (
            '[[rule]]\nallow = "containerlist"\n',
            2,
            "allow: unknown operation 'containerlist'; did you mean 'ContainerList'?",
        ),
        ('[[rule]]\nallow = ["GET /containers/json"]\n', 2, "allow: unknown operation 'GET /containers/json'"),
        (
            '[[rule]]\nallow = ["family:container"]\n',
            2,
            "allow: unknown operation 'family:container'; did you mean 'family:containers'?",
        ),
        (
            '[[rule]]\nallow = ["Verb:ls"]\n',
            2,
            "allow: invalid operation 'Verb:ls': expected a name, verb:VERB or family:FAMILY",
        ),
        ('[[rule]]\nallow = [["ContainerList"]]\n', 2, "allow must be a list of texts, not [['ContainerList']]"),
        ("[[rule]]\nallow = {ContainerList = true}\n", 2, "allow must be a list of texts, not {'ContainerList': True}"),
        (
            '[[rule]]\ndeny = ["ContainerLst"]\n',
            2,
            "deny: unknown operation 'ContainerLst'; did you mean 'ContainerList'?",
        ),
        (RULE + 'client = ["ci"]\n', 3, "unknown key 'client'; did you mean 'clients'?"),
        (RULE + 'clients = "ci"\n', 3, "unknown client 'ci': define it as [clients.ci]"),
        (RULE + 'mode = "warning"\n', 3, "mode must be 'enforce' or 'warn', not 'warning'"),
        (RULE + "mode = true\n", 3, "mode must be a text, not True"),
        (RULE + 'owner = "a=b"\n', 3, "unknown key 'owner'; did you mean 'own'?"),
        (RULE + 'own = "=b"\n', 3, "own: invalid owner '=b': expected LABEL=VALUE, such as team=web"),
        (RULE + 'own = ["a=b", "c=d"]\n', 3, "own must be a text, not ['a=b', 'c=d']"),
        (
            RULE + 'images = ["busybox"]\n',
            3,
            "unknown key 'images'; there are: allow, change, clients, container, deny, hold, hold_for, mode, name, "
            "own, redact, unjudged",
        ),
        (
            RULE + '[container]\nimages = ["busybox"]\n',
            3,
            "unknown key 'container'; there are: clients, mode, override, protect, rule",
        ),
        (RULE + '[rule.containers]\nimages = ["busybox"]\n', 3, "unknown key 'containers'; did you mean 'container'?"),
        (CONTAINER + 'image = ["busybox"]\n', 4, "unknown key 'image'; did you mean 'images'?"),
        (CONTAINER + 'images = ["http://x/y"]\n', 4, "images: invalid reference format"),
        (CONTAINER + 'images = [""]\n', 4, "images: invalid reference format"),
        (
            CONTAINER + 'binds = ["srv/ci"]\n',
            4,
            "binds: invalid folder 'srv/ci': expected an absolute path without '..', such as /srv/data",
        ),
        (
            CONTAINER + 'binds = ["/srv//ci"]\n',
            4,
            "binds: invalid folder '/srv//ci': expected an absolute path without '..', such as /srv/data",
        ),
        (
            CONTAINER + 'binds = ["/"]\n',
            4,
            "binds: invalid folder '/': expected an absolute path without '..', such as /srv/data",
        ),
        (
            CONTAINER + 'binds = ["/srv/ci/"]\n',
            4,
            "binds: invalid folder '/srv/ci/': expected an absolute path without '..', such as /srv/data",
        ),
        (
            CONTAINER + 'binds = ["~/ci"]\n',
            4,
            "binds: invalid folder '~/ci': expected an absolute path without '..', such as /srv/data",
        ),
        (
            CONTAINER + 'ports = ["8000:80"]\n',
            4,
            "ports: invalid port '8000:80': expected [ADDRESS:]PORT, [ADDRESS:]FROM-TO or [ADDRESS:]any",
        ),
        (
            CONTAINER + 'ports = ["80-"]\n',
            4,
            "ports: invalid port '80-': expected [ADDRESS:]PORT, [ADDRESS:]FROM-TO or [ADDRESS:]any",
        ),
        (CONTAINER + "ports = [true]\n", 4, "ports must be a list of texts, not [True]"),
        (
            CONTAINER + 'ports = ["80/tcp"]\n',
            4,
            "ports: invalid port '80/tcp': expected [ADDRESS:]PORT, [ADDRESS:]FROM-TO or [ADDRESS:]any",
        ),
        (CONTAINER + "memory = 512\n", 4, "memory must be a text, not 512"),
        (
            CONTAINER + 'memory = "-1m"\n',
            4,
            "memory: invalid value '-1m': expected a number with a unit (B, KB, MB, GB, KiB, MiB, GiB, b, k, m, g, t)",
        ),
        (CONTAINER + 'cpus = "1.5"\n', 4, "cpus must be a number such as 1.5, not '1.5'"),
        (CONTAINER + "pids = 1.5\n", 4, "pids must be a whole number, not 1.5"),
        (CONTAINER + "pids = true\n", 4, "pids must be a whole number, not True"),
        (
            CONTAINER + 'shm = ["lots"]\n',
            4,
            "shm: invalid value 'lots': expected a number with a unit (B, KB, MB, GB, KiB, MiB, GiB, b, k, m, g, t)",
        ),
        (CONTAINER + "privileged = true\n", 4, "privileged must be a list of texts, not True"),
        (CONTAINER + 'capability = ["NET_ADMIN"]\n', 4, "unknown key 'capability'; did you mean 'capabilities'?"),
        (CONTAINER + 'read_only = "yes"\n', 4, "read_only must be true or false, not 'yes'"),
        (CONTAINER + "no_new_privileges = 1\n", 4, "no_new_privileges must be true or false, not 1"),
        (
            CONTAINER + 'images = ["busybox"]\nimages = ["alpine"]\n',
            5,
            "Cannot overwrite a value (at line 5, column 20)",
        ),
        (CONTAINER + "networks = [1.5]\n", 4, "networks must be a list of texts, not [1.5]"),
        (CHANGE + 'label = {a = "b"}\n', 4, "unknown key 'label'; did you mean 'labels'?"),
        (CHANGE + 'labels = ["a=b"]\n', 4, "labels must be a table, [labels], not ['a=b']"),
        (
            CHANGE + 'memory = "lots"\n',
            4,
            "memory: invalid value 'lots': expected a number with a unit (B, KB, MB, GB, KiB, MiB, GiB, b, k, m, g, t)",
        ),
        (
            CHANGE + 'paths = {"workspace" = "/srv"}\n',
            4,
            "workspace: invalid folder 'workspace': expected an absolute path without '..', such as /srv/data",
        ),
        (REDACT + "env = true\n", 4, "env must be a list of texts, not True"),
        (REDACT + "arg = true\n", 4, "unknown key 'arg'; did you mean 'args'?"),
        ("[clients.ci]\nuser = [7]\n" + RULE, 2, "unknown key 'user'; did you mean 'users'?"),
        (
            '[clients.ci]\naddresses = ["localhost"]\n' + RULE,
            2,
            "addresses: invalid address 'localhost': expected one such as 10.0.0.7 or 10.0.0.0/8 ('localhost' doe",
        ),
        ('[clients]\nci = "uid:7"\n' + RULE, 2, "ci must be a table, [ci], not 'uid:7'"),
        ('[[clients]]\nname = "ci"\n' + RULE, 1, "clients must be a table, [clients], not [{'name': 'ci'}]"),
        ("[clients.ci]\nusers = [-1]\n" + RULE, 2, "users: invalid user '-1': expected the number of a user"),
        ("[clients.ci]\ncertificates = 7.5\n" + RULE, 2, "certificates must be a list of texts, not 7.5"),
        ('default = "allow"\n' + RULE, 1, "unknown key 'default'; there are: clients, mode, override, protect, rule"),
        ("rule = []\n", 1, "a policy requires a rule, [[rule]]"),
        (
            CONTAINER + 'binds = ["${}"]\n',
            4,
            "binds: invalid folder '${}': expected an absolute path without '..', such as /srv/data",
        ),
    ],
)
def test_a_mistake_is_named_with_its_line(text: str, line: int, says: str) -> None:
    with pytest.raises(Invalid) as caught:
        document.parse(text, "rules.toml")
    assert caught.value.message.startswith(f"rules.toml:{line}: {says}")
