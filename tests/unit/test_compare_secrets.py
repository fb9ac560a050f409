"""No value of a secret is left in a text that is shown, whatever was done to it by hand."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldentooth.compare import canonical, same_meaning, unified
from goldentooth.compare.secrets import HIDDEN, mask, secret_values
from goldentooth.values import SECRET_REFERENCE

BUILD = Path(__file__).parents[1] / "golden/build"

FRR = (BUILD / "_twin/router/etc/frr/frr.conf").read_text().replace(
    " neighbor CLUSTER timers 60 180\n",
    " neighbor CLUSTER timers 60 180\n"
    " neighbor CLUSTER password ${vault:bgp/session#password}\n"
    " neighbor 10.4.0.30 password ${env:GPU_PASSWORD}\n",
)  # fmt: skip
HAPROXY = """\
userlist operators
    user admin insecure-password ${file:/root/admin}
frontend stats
    stats auth watcher:${vault:haproxy/stats#password}
    http-request set-header X-Api-Key "${env:API_KEY}" if { src 10.4.0.0/20 }
"""
JOIN = """\
apiVersion: kubeadm.k8s.io/v1beta4
kind: JoinConfiguration
discovery:
  bootstrapToken:
    token: '${vault:kubeadm/join#token}'
    apiServerEndpoint: 10.4.0.10:6443
    caCertHashes:
    - ${vault:kubeadm/join#ca_hash}
    - ${env:SECOND_HASH}
  tlsBootstrapToken: "${vault:kubeadm/join#token}"
controlPlane:
  certificateKey: ${vault:kubeadm/join#certificate_key}
"""
TEXTS = {
    "frr": FRR,
    "haproxy": HAPROXY,
    "join": JOIN,
    "yaml": (BUILD / "bettley/etc/kubernetes/kubeadm.yaml").read_text(),
}
FORMATS = {"join": "yaml"}

VALUES = st.text("abcdefghijkmnpqrstuvwxyzABCDEFG0123456789.:/+=_-", min_size=8, max_size=40)


def canaries(text: str) -> dict[str, str]:
    """Return a value for each reference, which stands nowhere else."""
    forms = {"token": "c4nary.{:016d}", "hash": "sha256:{:064x}"}
    return {
        reference: forms.get(reference[-6:-1].strip("#_").lower(), "Canary{}.Zx81q").format(number)
        for number, reference in enumerate(sorted(set(SECRET_REFERENCE.findall(text))), 1234567)
    }


def left(text: str, values: dict[str, str]) -> set[str]:
    return {value for value in values.values() if value in text}


def filled(text: str, values: dict[str, str]) -> str:
    return SECRET_REFERENCE.sub(lambda reference: values[reference[0]], text)


def edited(text: str, chance: random.Random) -> str:
    """Return ``text`` after one edit by hand."""
    lines = text.split("\n")
    at = chance.randrange(len(lines))
    line = lines[at]
    match chance.choice(("move", "respace", "indent", "comment", "again", "quote", "word", "cut")):
        case "move":
            lines.insert(chance.randrange(len(lines)), lines.pop(at))
        case "respace":
            lines[at] = re.sub(r"(?<=\S) +", lambda _: chance.choice(("  ", "\t", "   ")), line)
        case "indent":
            lines[at] = " " * chance.randint(0, 8) + line.lstrip()
        case "comment":
            lines[at] = chance.choice(("# ", "! ", "#", "; ")) + line
        case "again":
            lines.insert(at, line)
        case "quote":
            word = chance.choice(line.split(" "))
            mark = chance.choice("'\"")
            lines[at] = line.replace(word, f"{mark}{word.strip(chr(39))}{mark}") if word else line
        case "word":
            words = line.split(" ")
            words.insert(chance.randrange(len(words) + 1), chance.choice(("8", "no", "x", "- ")))
            lines[at] = " ".join(words)
        case "cut":
            before, _, value = line.rpartition(" ")
            lines[at : at + 1] = [before, " " * chance.randint(6, 9) + value]
    return "\n".join(lines)


@pytest.mark.parametrize("name", TEXTS)
def test_a_host_that_has_what_is_intended_shows_the_references(name: str) -> None:
    text = TEXTS[name]
    live = filled(text, canaries(text))
    assert mask(text, live) == text


@pytest.mark.parametrize("name", TEXTS)
def test_the_intended_text_itself_is_shown_as_it_is(name: str) -> None:
    """It is not looked through; what is looked through, for a line more, is shown the same."""
    text = TEXTS[name]
    assert mask(text, text) == text
    assert mask(text, f"{text}\n") == f"{text}\n"


@pytest.mark.parametrize("name", ["frr", "haproxy", "join", "yaml"])
def test_no_value_is_left_after_any_edit(name: str) -> None:
    """150 times up to five edits, on any line."""
    text = TEXTS[name]
    values = canaries(text)
    chance = random.Random(name)  # noqa: S311  # the same edits on every run
    for _ in range(150):
        live = filled(text, values)
        for _ in range(chance.randint(1, 5)):
            live = edited(live, chance)
        masked = mask(text, live)
        assert not left(masked, values), live
        assert masked.count("\n") == live.count("\n")
        shown = unified(FORMATS.get(name, name), text, masked, "file")
        assert not left(shown, values)


@given(VALUES, VALUES)
def test_any_value_is_hidden_where_it_is_moved_to(one: str, other: str) -> None:
    text = "log syslog\n neighbor G password ${env:ONE}\n neighbor H password ${env:OTHER}\n"
    live = (
        f"! {one}\n neighbor  G   password {one} \nneighbor H description x\n"
        f"  neighbor H password {other}\n! was '{other}', is {other}{one}.\n"
    )
    masked = mask(text, live)
    assert one not in masked
    assert other not in masked
    assert " neighbor  G   password ${env:ONE} \n" in masked


@pytest.mark.parametrize(
    "live",
    [
        "token: swordfish",
        "x:\n  certificateKey:   'swordfish'",
        "caCertHashes:\n- sha256:swordfish\n- swordfish",
        "caCertHashes: [swordfish]",
        "token: |\n  swordfish\n  swordfish",
        "token: >-\n  swordfish",
        'secret: "a\n  swordfish"',
        "{token: swordfish, x: y}",
        '"password": "swordfish"',
        "password 8 swordfish",
        " neighbor 10.4.0.1 password swordfish",
        "enable password swordfish",
        " ip ospf message-digest-key 1 md5 swordfish",
        "  key-string swordfish",
        "    user admin insecure-password swordfish",
        "    stats auth admin:swordfish",
        "#token=swordfish",
        "api_key = swordfish",
        "export DB_PASSWORD='swordfish'",
        "    setenv PASS swordfish",
        "    wpa-wep-key0 swordfish",
        "    up sshpass -p swordfish ssh backup@10.4.0.2",
        '    http-request set-header Authorization "Basic swordfish"',
        '    http-request set-header X-For "Bearer swordfish-1"',
        "    http-check send hdr X-For Basic\\ swordfish",
        "# see https://ada:swordfish@wiki.example/x",
        "-----BEGIN PRIVATE KEY-----\nswordfish\nab/swordfish=\n-----END PRIVATE KEY-----",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nswordfish",
    ],
)
def test_what_is_announced_as_a_secret_is_hidden_without_a_reference(live: str) -> None:
    masked = mask("", live)
    assert "swordfish" not in masked
    assert HIDDEN in masked


def test_what_is_no_private_key_and_no_password_in_a_url_stays() -> None:
    for live in (
        "-----BEGIN CERTIFICATE-----\nabcdef\n-----END CERTIFICATE-----",
        "-----BEGIN RSA PRIVATE KEY-----\n-----END RSA PRIVATE KEY-----\nabcdef",
        "https://wiki.example:8443/ada@home",
        "passive-interface eth0",
        "basic idea",
    ):
        assert mask("", live) == live


def test_the_values_of_a_text_are_those_of_its_references_and_what_is_announced() -> None:
    text = "user ada\npassword ${env:PW}\n"
    live = "user ada\npassword hunter2\nenable password swordfish\n"
    assert secret_values(text, live) == {"hunter2", "swordfish"}
    assert secret_values("", live) == {"hunter2", "swordfish"}
    assert secret_values(text, "user ada\npassword ada\n") == frozenset()


def test_an_address_beside_a_token_is_no_secret() -> None:
    values = canaries(JOIN)
    found = secret_values("", filled(JOIN, values))
    assert set(values.values()) <= found
    assert not {word for word in found if "10.4" in word or "Endpoint" in word or "CertH" in word}


def test_a_misspelled_line_in_the_place_of_a_secret_is_hidden() -> None:
    text = "a: 1\ntoken: ${env:TOKEN}\nb: 2\n"
    assert mask(text, "a: 1\ntoekn: swordfish\nb: 2\n") == f"a: 1\n{HIDDEN}: {HIDDEN}\nb: 2\n"


def test_what_is_intended_in_the_open_stays() -> None:
    text = "tokens:\n- token: ${env:TOKEN}\n  ttl: 24h\nkeyAlgorithm: rsa\n# a key of the token\n"
    live = text.replace("${env:TOKEN}", "swordfish").replace("24h", "48h")
    assert mask(text, live) == text.replace("24h", "48h")


def test_another_value_on_one_of_many_lines_is_not_taken_for_the_reference() -> None:
    text = "".join(f" neighbor 10.4.0.{n} password ${{env:PW}}\n" for n in range(1, 5))
    live = text.replace("${env:PW}", "swordfish").replace("3 password swordfish", "3 password cod")
    masked = mask(text, live)
    assert masked == text.replace("3 password ${env:PW}", f"3 password {HIDDEN}")
    assert not same_meaning("frr", text, masked)


def test_one_list_item_more_than_intended_is_hidden_and_a_difference() -> None:
    live = filled(JOIN, canaries(JOIN)).replace("    caCertHashes:\n", "    caCertHashes:\n    - sha256:swordfish\n")  # fmt: skip # noqa: E501
    masked = mask(JOIN, live)
    assert "swordfish" not in masked
    assert canonical("yaml", masked) != canonical("yaml", JOIN)


def test_items_of_another_list_are_no_secrets() -> None:
    text = "hashes:\n- ${env:HASH}\nusages:\n- signing\n"
    live = "hashes:\n- swordfish\nusages:\n- signing\n- authentication\n"
    assert mask(text, live) == "hashes:\n- ${env:HASH}\nusages:\n- signing\n- authentication\n"


def test_a_password_that_only_says_what_stands_there_anyway_is_not_hidden_elsewhere() -> None:
    text = "hostname router\npassword ${env:PW}\n"
    masked = mask(text, "hostname router\npassword router\n")
    assert masked == text
