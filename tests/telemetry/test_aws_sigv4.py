"""The signer, held against AWS's published vectors and against botocore's own."""

from __future__ import annotations

import calendar
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrap_otel.telemetry.export.aws.sigv4 import Credentials, hmac_sha256, signed_fields
from lrap_otel.telemetry.url import Url
from tests.telemetry.aws_signatures import signature_by_botocore

# Source: AWS, "Signature Version 4 Test Suite" (2019), its request and what it must be signed with.
AT_S = calendar.timegm((2015, 8, 30, 12, 36, 0))
KEYS = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
TOKEN = "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267"
FORM = "application/x-www-form-urlencoded"
UNRESERVED = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
VANILLA = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
VECTORS = {
    "get-header-value-multiline": (
        *("GET", "/", {"My-Header1": "value1   value2      value3"}, ""),
        "cfd34249e4b1c8d6b91ef74165d41a32e5fab3306300901bb65a51a73575eefd",
    ),
    "get-header-value-trim": (
        *("GET", "/", {"My-Header1": " value1", "My-Header2": ' "a   b   c"'}, ""),
        "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
    ),
    "get-unreserved": (
        *("GET", f"/{UNRESERVED}", {}, ""),
        "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
    ),
    "get-utf8": (
        "GET",
        "/ሴ",
        {},
        "",
        "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85",
    ),
    "get-vanilla": ("GET", "/", {}, "", VANILLA),
    "get-vanilla-query-order-key": (
        *("GET", "/?Param1=value2&Param1=Value1", {}, ""),
        "eedbc4e291e521cf13422ffca22be7d2eb8146eecf653089df300a15b2382bd1",
    ),
    "get-vanilla-query-order-key-case": (
        *("GET", "/?Param2=value2&Param1=value1", {}, ""),
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    ),
    "get-vanilla-query-order-value": (
        *("GET", "/?Param1=value2&Param1=value1", {}, ""),
        "5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694",
    ),
    "get-vanilla-query-order-encoded": (
        *("GET", "/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1", {}, ""),
        "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac",
    ),
    "get-vanilla-query-unreserved": (
        *("GET", f"/?{UNRESERVED}={UNRESERVED}", {}, ""),
        "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
    ),
    "get-vanilla-utf8-query": (
        *("GET", "/?ሴ=bar", {}, ""),
        "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
    ),
    "get-relative": ("GET", "/example/..", {}, "", VANILLA),
    "get-relative-relative": ("GET", "/example1/example2/../..", {}, "", VANILLA),
    "get-slash": ("GET", "//", {}, "", VANILLA),
    "get-slash-dot-slash": ("GET", "/./", {}, "", VANILLA),
    "get-slash-pointless-dot": (
        *("GET", "/./example", {}, ""),
        "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5",
    ),
    "get-slashes": (
        "GET",
        "//example//",
        {},
        "",
        "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84",
    ),
    "get-space": (
        *("GET", "/example space/", {}, ""),
        "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741",
    ),
    "get-special-character": (
        *("GET", "/example/$delete", {}, ""),
        "a853c9b21b528b19643d00910d35b83a10c366a10833ceefb45edd6c80e40f27",
    ),
    "post-header-key-sort": (
        *("POST", "/", {"My-Header1": "value1"}, ""),
        "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
    ),
    "post-header-value-case": (
        *("POST", "/", {"My-Header1": "VALUE1"}, ""),
        "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
    ),
    "post-vanilla": (
        "POST",
        "/",
        {},
        "",
        "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
    ),
    "post-vanilla-query": (
        *("POST", "/?Param1=value1", {}, ""),
        "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11",
    ),
    "post-x-www-form-urlencoded": (
        *("POST", "/", {"Content-Type": FORM}, "Param1=value1"),
        "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
    ),
    "post-x-www-form-urlencoded-parameters": (
        *("POST", "/", {"Content-Type": f"{FORM}; charset=utf8"}, "Param1=value1"),
        "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe",
    ),
}

segments = st.text(
    st.characters(codec="utf-8", exclude_characters="/?#", exclude_categories=["Cc", "Cs"]),
    max_size=6,
)
words = st.text("abcXYZ019-._~ !$'()*+,;:@%/ü€", max_size=8)
names = st.from_regex(r"X-[A-Za-z][a-z0-9-]{0,10}", fullmatch=True).filter(
    lambda name: name.lower()[:6] != "x-amz-"
)
values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20)


@pytest.mark.parametrize("name", VECTORS)
def test_a_request_is_signed_as_awss_published_vector_is(name: str) -> None:
    method, target, fields, body, signature = VECTORS[name]

    signed = signed_fields(
        *(method, "example.amazonaws.com", target, fields, body.encode()),
        *(Credentials(*KEYS), "us-east-1", "service", AT_S),
    )

    assert signed["Authorization"].rpartition("=")[2] == signature


def test_the_sessions_token_is_sent_and_signed() -> None:
    credentials = Credentials(*KEYS, TOKEN)

    signed = signed_fields(
        "GET", "example.amazonaws.com", "/", {}, b"", credentials, "us-east-1", "service", AT_S
    )

    assert signed == {
        "X-Amz-Date": "20150830T123600Z",
        "X-Amz-Security-Token": TOKEN,
        "Authorization": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        "SignedHeaders=host;x-amz-date;x-amz-security-token, "
        "Signature=07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8",
    }


@given(
    st.sampled_from(["POST", "GET"]),
    st.lists(segments, max_size=4),
    st.lists(st.tuples(words.filter(bool), words), max_size=4, unique_by=lambda pair: pair[0]),
    st.dictionaries(names, values, max_size=4),
    st.binary(max_size=200),
    st.text("ABCDEF019", min_size=16, max_size=20),
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=90),
    st.sampled_from(["", TOKEN]),
    st.sampled_from(["eu-west-1", "cn-north-1", "us-gov-west-1"]),
    st.sampled_from(["xray", "logs", "monitoring", "secretsmanager", "ssm"]),
    st.integers(0, 4_000_000_000),
)
def test_any_request_is_signed_as_botocore_signs_it(
    method: str,
    path: list[str],
    query: list[tuple[str, str]],
    fields: dict[str, str],
    body: bytes,
    access_key_id: str,
    secret: str,
    token: str,
    region: str,
    service: str,
    now_s: int,
) -> None:
    fields = {name.lower(): value for name, value in fields.items()}
    url = Url(f"https://host.test/{'/'.join(path)}" + _query(query))
    credentials = Credentials(access_key_id, secret, token)

    signed = signed_fields(
        method, url.address, url.path, fields, body, credentials, region, service, now_s
    )

    assert signed["Authorization"] == signature_by_botocore(
        method,
        str(url.address),
        url.path,
        signed,
        body,
        (access_key_id, secret, token),
        region,
        service,
    )


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_the_keyed_hash_is_the_standard_librarys(key: bytes, message: bytes) -> None:
    assert hmac_sha256(key, message) == hmac.new(key, message, hashlib.sha256).digest()


def _query(pairs: list[tuple[str, str]]) -> str:
    def encoded(text: str) -> str:
        kept = "-._~ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
        return "".join(
            each if each in kept else "".join(f"%{byte:02X}" for byte in each.encode())
            for each in text
        )

    return ("?" if pairs else "") + "&".join(
        f"{encoded(name)}={encoded(value)}" for name, value in pairs
    )
