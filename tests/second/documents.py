"""What the JSON documents in an artifact look like, from docs/src/formats.md alone."""

import json, re
from base64 import b32decode, b32encode, b64decode, b64encode
from itertools import accumulate

class Differs(Exception):
    """Something is not as docs/src/formats.md says."""

def demand(condition, reason):
    if not condition:
        raise Differs(reason)

def whole(spelled):
    number = int(spelled)
    demand(abs(number) < 1 << 53, "a number that not every reader takes for the same")
    return number

def canonical(data):
    """What the JSON document `data` says, when it is spelled canonically."""
    text = data.decode("utf-8")
    brackets = re.sub(r'"(?:\\.|[^"\\])*"|[^][{}]', "", text, flags=re.S)
    demand(max(accumulate(1 if it in "[{" else -1 for it in brackets), default=0) < 128, "nested too deep")
    members = lambda pairs: dict(sorted(pairs, key=lambda pair: pair[0].encode("utf-16-be")))
    numbers = dict.fromkeys(("parse_int", "parse_float", "parse_constant"), whole)
    found = json.loads(text, object_pairs_hook=members, **numbers)
    demand(json.dumps(found, separators=(",", ":"), ensure_ascii=False) == text, "not canonical")
    demand(isinstance(found, dict), "no object")
    return found

def document(data, shape):
    found = canonical(data)
    demand(fits(found, shape), "a field that is missing, unknown, or not what it should be")
    return found

def parse_id(text):
    """The name and the digest that a store ID is made of, by which IDs are sorted."""
    name, _, spelled = text.rpartition("--")
    demand(NAME(name) and re.fullmatch("[a-z2-7]{52}", spelled), f"no store ID: {text}")
    raw = b32decode(spelled.upper() + "====")
    demand(b32encode(raw).decode().rstrip("=").lower() == spelled, "spare bits are not zero")
    return name, raw

def claim(envelope):
    """The package that an attestation is about, its tree digest, and whose key says so."""
    (signature,), statement = envelope["signatures"], canonical(b64decode(envelope["payload"]))
    subjects, types = statement["subject"], (statement["_type"], statement["predicateType"])
    demand(types == ("https://in-toto.io/Statement/v1", "https://slsa.dev/provenance/v1"), "another statement")
    demand(isinstance(subjects, list) and len(subjects) == 1, "not one subject")
    return subjects[0]["name"], subjects[0]["digest"]["blake3"], signature["keyid"]

# Shapes. A dict names all the fields of an object, with `?` behind those that may be missing; a list stands for any
# number of its one item, a tuple for any of its items; a function is asked; anything else must be the same.

def fits(value, shape):
    if isinstance(shape, dict):
        known = {field.rstrip("?"): inner for field, inner in shape.items()}
        needed = {field for field in shape if not field.endswith("?")}
        is_object = isinstance(value, dict) and needed <= value.keys() <= known.keys()
        return is_object and all(fits(value[field], known[field]) for field in value)
    if isinstance(shape, list):
        return isinstance(value, list) and all(fits(item, shape[0]) for item in value)
    if isinstance(shape, tuple):
        return any(fits(value, choice) for choice in shape)
    return shape(value) if callable(shape) else type(value) is type(shape) and value == shape

def text(pattern):
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value, re.S) is not None

def count(least=0, limit=1 << 53):
    return lambda value: type(value) is int and least <= value < limit

def base64(length=None):
    """Base64 of so many bytes, or of any number, in the one way to spell it."""
    def check(value):
        raw = b64decode(value)
        return b64encode(raw).decode() == value and length in (None, len(raw))
    return check

def some(shape):
    """What is left out rather than empty."""
    return lambda value: value not in ([], {}, "") and fits(value, shape)

def ordered(shape, key=lambda item: item):
    """A list in order, each item once."""
    def check(value):
        keys = [key(item) for item in value] if fits(value, [shape]) else None
        return keys is not None and keys == sorted(set(keys))
    return check

def each(name, shape):
    """An object whose fields are not known beforehand."""
    return lambda value: isinstance(value, dict) and fits([*value], [name]) and fits([*value.values()], [shape])

def path(character, before=""):
    """Parts with `/` between them, none of them empty, `.` or `..`."""
    part = rf"(?!\.\.?(?:/|\Z)){character}+"
    return text(rf"{before}{part}(?:/{part})*")

ANY, HEX, FLAG, SIZE = text(".*"), text("[0-9a-f]{64}"), (False, True), count()
NAME = text(r"(?!.*--)(?!.*-\Z)[a-z0-9_@][a-z0-9_@.+-]{0,99}")
SOURCE_NAME = text(r"(?!.*--)(?!.*-\Z)[A-Za-z0-9_@][A-Za-z0-9_@.+-]{0,99}")
VERSION = text("[A-Za-z0-9_+~:][A-Za-z0-9._+~:-]{0,99}")
ID = lambda value: isinstance(value, str) and parse_id(value) is not None
IDS = ordered(ID, parse_id)
PREFIX = path("[A-Za-z0-9._+@-]", before="(?!.{201})/")
PATH, INNER, SECRET = path(r"[^/\0]"), path(r"[^/\0\\]"), path(r"[^/\0\n\\]", before="/")
UNIT = text(r"(?!\.)(?=[^.]*\.)[^/\0 \n]+")
TARGET = lambda value: text(r"[^\0]+")(value) and len(value.encode()) <= 4095
FRAMES = {"offset": SIZE, "length": SIZE, "blake3": HEX}

# What manifests and resolved recipes have in common.
TREE = {
    "format": 1,
    "name": NAME,
    "platform": ("x86_64-linux", "aarch64-linux"),
    "prefix": PREFIX,
    "source_date_epoch": SIZE,
}

PACKAGE = {
    "id": ID,
    "version": ANY,
    "tree": HEX,
    "size": SIZE,
    "requires": IDS,
    "roles?": some([NAME]),
    "selected": FLAG,
    "about?": some(dict.fromkeys(("license?", "homepage?", "description?"), some(ANY))),
    "listing": FRAMES,
    "archive": FRAMES,
}

MANIFEST = TREE | {
    "version": VERSION,
    "packages": ordered(PACKAGE, lambda package: parse_id(package["id"])),
    "configuration?": HEX,
    "health?": {"units?": some(ordered(UNIT)), "command?": INNER, "deadline_seconds": count(1)},
    "ip_detect?": INNER,
    "secrets?": some(ordered(SECRET)),
    "installer?": {"size": SIZE, "blake3": HEX, "archive": FRAMES},
}

ENTRY = (
    {"path": PATH, "type": "file", "executable": FLAG, "size": SIZE, "blake3": HEX},
    {"path": PATH, "type": "dir"},
    {"path": PATH, "type": "symlink", "target": TARGET},
)

LISTING = {"format": 1, "entries": ordered(ENTRY, lambda entry: entry["path"])}

SOURCE = tuple(
    form | {"digest": (None, {"sha256": HEX}, {"blake3": HEX})}
    for form in ({"kind": "archive"}, {"kind": "file", "file": ANY}, {"kind": "folder"})
)

FILE = ({"path": ANY, "executable": FLAG, "blake3": HEX}, {"path": ANY, "target": ANY})

RECIPE = TREE | {
    "sandbox": count(limit=1 << 32),
    "version": ANY,
    "variant": (None, NAME),
    "files": ordered(FILE, lambda file: file["path"]),
    "bootstrap": [[ANY]],
    "sources": each(SOURCE_NAME, SOURCE),
    "requires": IDS,
    "build_requires": IDS,
    "environment": each(ANY, ANY),
    "username": (None, ANY),
    "group": (None, ANY),
    "state_directory": FLAG,
    "sysctl": each(ANY, each(ANY, ANY)),
    "roles": ordered(NAME),
    "check": FLAG,
    "local?": {"of": ID, "generation": SIZE},
}

ENVELOPE = {
    "payloadType": "application/vnd.in-toto+json",
    "payload": base64(),
    "signatures": [{"keyid": text("[0-9A-F]{16}"), "sig": base64(64)}],
}

ATTESTATIONS = {"format": 1, "envelopes": some(ordered(ENVELOPE, lambda it: (parse_id(claim(it)[0]), claim(it)[2])))}
