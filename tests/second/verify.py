"""Verifies a master artifact from docs/src/formats.md alone: a second opinion that shares no line with `store`.

`python3 verify.py ARTIFACT [PUBLIC-KEY-FILE]`; with a key, ARTIFACT.minisig must be its signature of the artifact.
Prints {"differences": [{"part": …, "package": …}, …]} and exits with 0 when there are none, else with 3. It needs the
`blake3` package and, as Python has no zstd, `zstd`.
"""

import hashlib, json, re, struct, subprocess, sys
from base64 import b32decode, b32encode, b64decode, b64encode
from itertools import accumulate
from pathlib import Path
from blake3 import blake3

FRAME_MAGIC, SKIPPABLE_MAGIC, TABLE_MAGIC = 0xFD2FB528, 0x184D2A5E, 0x8F92EAB1
ZSTD, TYPEFLAGS = ["zstd", "-dcq", "--long=31"], {"file": b"0", "dir": b"5", "symlink": b"2"}
MOST_CONTENT, LONGEST_FRAME, LONGEST_DOCUMENT = 4 << 20, (4 << 20) + (16 << 10), 64 << 20
MINISIG = r"untrusted comment: .*\n(.+)\ntrusted comment: ((?:(?!\s)[^\0-\x08\n-\x1f\x7f-\x9f]+(?<!\s))?)\n(.+)\n?"

class TableDiffers(Exception):
    """The seek table says something else of a frame that is sound."""

def demand(condition, reason, kind=ValueError):
    if not condition:
        raise kind(reason)

# What the fields of documents must be: one kind or another, `[]` a list of it, `=` just this JSON. One that may be
# missing has a `?`. What else they may hold, as far as no digest or ID follows from it, is looked at by `store` alone.
TREE = 'format:=1 name:name platform:="x86_64-linux"|="aarch64-linux" prefix:prefix source_date_epoch:size version:'
OBJECTS = {
    "frames": "offset:size length:size blake3:hex",
    "installer": "size:size blake3:hex archive:frames",
    "package": "id:id version:text tree:hex size:size requires:id[] roles?:name[] selected:=true|=false about?:object"
    " listing:frames archive:frames",
    "manifest": TREE + "version packages:package[] configuration?:hex health?:object ip_detect?:text secrets?:list"
    " installer?:installer",
    "file": 'path:path type:="file" executable:=true|=false size:size blake3:hex',
    "dir": 'path:path type:="dir"',
    "symlink": 'path:path type:="symlink" target:target',
    "listing": "format:=1 entries:file|dir|symlink[]",
    "recipe": TREE + "text sandbox:size variant:name|=null files:list bootstrap:list sources:object requires:id[]"
    " build_requires:id[] environment:object username:text|=null group:text|=null state_directory:=true|=false"
    " sysctl:object roles:name[] check:=true|=false local?:object",
    "signature": "keyid:key sig:sig",
    "envelope": 'payloadType:="application/vnd.in-toto+json" payload:text signatures:signature[]',
    "attestations": "format:=1 envelopes:envelope[]",
}
TEXTS = {"text": ".*", "hex": "[0-9a-f]{64}", "key": "[0-9A-F]{16}", "version": "[^/]+", "prefix": "/.+"}
TEXTS |= {"name": r"(?!.*--)(?!.*-\Z)[a-z0-9_@][a-z0-9_@.+-]{0,99}", "path": r"(?!(?:.*/)?\.{0,2}(?:/|\Z))[^\0]+"}
KINDS = {"object": lambda it: type(it) is dict, "list": lambda it: type(it) is list, "id": lambda it: parse_id(it)}
KINDS |= {"size": lambda it: type(it) is int and it >= 0, "sig": lambda it: base64(it, 64)}
KINDS |= {"target": lambda it: 0 < len(it.encode()) < 4096 and "\0" not in it}
ORDER = {"id": lambda it: parse_id(it), "package": lambda it: parse_id(it["id"]), "name": lambda it: it}
ORDER |= {"file|dir|symlink": lambda it: it["path"], "envelope": lambda it: claim(it)[::2]}

def fits(value, kind):
    if kind.endswith("[]"):
        fit = isinstance(value, list) and all(fits(item, kind[:-2]) for item in value)
        keys = [*map(ORDER[kind[:-2]], value)] if fit and kind[:-2] in ORDER else []
        return fit and keys == sorted(set(keys))
    if "|" in kind:
        return any(fits(value, choice) for choice in kind.split("|"))
    if kind in OBJECTS:
        fields = dict(field.split(":", 1) for field in OBJECTS[kind].split())
        known = {field.rstrip("?"): inner for field, inner in fields.items()}
        is_full = known.keys() & fields.keys() <= value.keys() <= known.keys()
        return is_full and all(fits(it, known[field]) and (field in fields or it) for field, it in value.items())
    if kind in TEXTS:
        return isinstance(value, str) and re.fullmatch(TEXTS[kind], value, re.S)
    return json.dumps(value) == kind[1:] if kind.startswith("=") else KINDS[kind](value)

def document(data, kind):
    """What a JSON document says that is of a kind and spelled canonically."""
    demand(len(data) <= LONGEST_DOCUMENT, "too long for a document")
    text = data.decode("utf-8")
    brackets = re.sub(r'"(?:\\.|[^"\\])*"|[^][{}]', "", text, flags=re.S)
    demand(max(accumulate(1 if it in "[{" else -1 for it in brackets), default=0) < 128, "nested too deep")
    whole = lambda it: demand(abs(int(it)) < 1 << 53, "a number that not every reader takes for the same") or int(it)
    members = lambda pairs: dict(sorted(pairs, key=lambda pair: pair[0].encode("utf-16-be")))
    found = json.loads(text, object_pairs_hook=members, parse_int=whole, parse_float=whole, parse_constant=whole)
    demand(json.dumps(found, separators=(",", ":"), ensure_ascii=False) == text, "not canonical")
    demand(fits(found, kind), "a field that is missing, unknown, or not what it should be")
    return found

def base64(value, length=None):
    raw = b64decode(value)
    demand(b64encode(raw).decode() == value and len(raw) == (length or len(raw)), "no base64 of so many bytes")
    return raw

def parse_id(text):
    """The name and the digest that a store ID is made of, by which IDs are sorted."""
    name, _, spelled = text.rpartition("--")
    raw = b32decode(spelled.upper() + "====")
    demand(fits(name, "name") and len(raw) == 32 and b32encode(raw).decode().lower() == spelled + "====", "no ID")
    return name, raw

def claim(envelope):
    """What an attestation is about, () being the program, the digest that it says this has, and whose key says so."""
    (signature,), statement = envelope["signatures"], document(base64(envelope["payload"]), "object")
    (subject,), built = statement["subject"], statement["predicate"]["buildDefinition"]["buildType"]
    types, is_program = (statement["_type"], statement["predicateType"]), subject["name"] == "store"
    demand(types == ("https://in-toto.io/Statement/v1", "https://slsa.dev/provenance/v1"), "another statement")
    kinds = ["program"] if is_program else ["sandbox", "configuration"]
    demand(built in [f"urn:store:build:{kind}:v1" for kind in kinds], "built as nothing of its kind is")
    return () if is_program else parse_id(subject["name"]), subject["digest"]["blake3"], signature["keyid"]

digest = lambda data: blake3(data).hexdigest()
padded = lambda data: data + bytes(-len(data) % 512)
number = lambda value: b"%011o\0" % value if value < 1 << 33 else b"\x80" + value.to_bytes(11, "big")

def block(name, mode, size, mtime, kind, target=b""):
    head = name[:100].ljust(100, b"\0") + b"%07o\0" % mode + b"0000000\0" * 2 + number(size) + number(mtime)
    tail = kind + target[:100].ljust(100, b"\0") + b"ustar  \0" + bytes(247)
    return head + b"%07o\0" % sum(head + b" " * 8 + tail) + tail

def header(path, entry, mtime):
    """The blocks before an entry's content."""
    target, out = entry.get("target", "").encode(), b""
    name = path.encode() + (b"/" if entry["type"] == "dir" else b"")
    for text, letter in ((target, b"K"), (name, b"L")):
        if len(text) > 100:
            out += block(b"././@LongLink", 0o644, len(text) + 1, 0, letter) + padded(text + b"\0")
    mode = 0o777 if target else 0o444 if entry.get("executable") is False else 0o555
    return out + block(name, mode, entry.get("size", 0), mtime, TYPEFLAGS[entry["type"]], target)

def document_entry(tar, path, kind, mtime=None):
    """The document `path`, which is the one entry of `tar`, and its bytes."""
    content = tar[512 : 512 + int(tar[124:135], 8)]
    found, entry = document(content, kind), {"type": "file", "executable": False, "size": len(content)}
    expected = header(path, entry, found["source_date_epoch"] if mtime is None else mtime) + padded(content)
    demand(tar == expected, "another header or padding")
    return found, content

def frame_content_size(frame):
    """What `frame`, which must be just one zstd frame, says it unpacks to (RFC 8878, 3.1.1)."""
    magic, flags = struct.unpack_from("<IB", frame)
    single, width = flags >> 5 & 1, (flags >> 5 & 1, 2, 4, 8)[flags >> 6]
    demand(magic == FRAME_MAGIC and width and flags & 4, "no frame with its content's size and checksum")
    start, is_last = 5 + (1 - single) + (0, 1, 2, 4)[flags & 3], 0
    at = start + width
    while not is_last:
        low, high = struct.unpack_from("<HB", frame, at)
        is_last, is_run = low & 1, low >> 1 & 3 == 1
        at += 3 + (1 if is_run else (high << 16 | low) >> 3)
    demand(at + 4 == len(frame), "not just one frame")
    return int.from_bytes(frame[start : start + width], "little") + (256 if width == 2 else 0)

P, Q = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493  # of Ed25519 (RFC 8032, 5.1)
D = -121665 * pow(121666, -1, P) % P
def add(one, other):
    (x, y), (u, v), t = one, other, D * one[0] * one[1] * other[0] * other[1] % P
    return (x * v + u * y) * pow(1 + t, -1, P) % P, (y * v + x * u) * pow(1 - t, -1, P) % P
def times(factor, point):
    half = times(factor >> 1, add(point, point)) if factor else (0, 1)
    return add(half, point) if factor & 1 else half

def point(data):
    """The point of edwards25519 that 32 bytes spell."""
    y, sign = int.from_bytes(data, "little") & (1 << 255) - 1, data[31] >> 7
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    root = pow(square, (P + 3) // 8, P)
    x = next(x for x in (root, root * pow(2, (P - 1) // 4, P) % P) if y < P and x * x % P == square)
    return (x if x & 1 == sign else P - x), y

def check_ed25519(message, signature, key):
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % Q
    s, base = int.from_bytes(signature[32:], "little"), point(b"\x58" + b"\x66" * 31)
    demand(s < Q and times(s, base) == add(point(signature[:32]), times(k, point(key))), "signed by somebody else")

def check_signature(data, signature, key):
    """A signature of minisign, over the artifact's BLAKE2b, and a second one, over the first and the comment."""
    first, comment, second = re.fullmatch(MINISIG, signature.read_bytes().decode()).groups()
    first, second, key = base64(first, 74), base64(second, 64), b64decode(key.read_text().splitlines()[1])
    demand(first[:2] == b"ED" and key[:2] == b"Ed" and first[2:10] == key[2:10], "another key")
    check_ed25519(hashlib.blake2b(data).digest(), first[10:], key[10:])
    check_ed25519(first[10:] + comment.encode(), second, key[10:])

class Artifact:
    """An artifact, and what is wrong with it: up to where its parts lie the first thing, and then all of them."""
    def __init__(self, data):
        self.data, self.differences = data, {}
        if self.holds("seek_table", None, self.read_seek_table) and self.holds("manifest", None, self.read_manifest):
            fit = (self.holds(part, id, lambda: self.frames_of(place)) for part, id, place in self.places)
            if all(fit) and self.holds("end", None, lambda: self.frames[self.starts[self.body + self.end]]):
                self.read_parts()

    def holds(self, part, package, check):
        try:
            check()
            return True
        except Exception as reason:
            found = ("seek_table", None) if isinstance(reason, TableDiffers) else (part, package)
            self.differences.setdefault(found, repr(reason))
            return False

    def read_seek_table(self):
        count, descriptor, magic = struct.unpack("<IBI", self.data[-9:])
        start = len(self.data) - 8 * count - 17
        demand(magic == TABLE_MAGIC and descriptor == 0 and start >= 0, "no seek table")
        demand(struct.unpack_from("<II", self.data, start) == (SKIPPABLE_MAGIC, 8 * count + 9), "no skippable frame")
        self.frames = list(struct.iter_unpack("<II", self.data[start + 8 : -9]))
        self.offsets = [0, *accumulate(compressed for compressed, _ in self.frames)]
        self.starts = {offset: frame for frame, offset in enumerate(self.offsets)}
        demand(all(map(all, self.frames)) and self.offsets[-1] == start, "empty frames, or a gap behind them")

    def unpack(self, first, last):
        """The content of some frames, each checked to be what the seek table says."""
        content = b""
        for at in range(first, last):
            frame, (compressed, size) = self.data[self.offsets[at] : self.offsets[at + 1]], self.frames[at]
            demand(size <= MOST_CONTENT and compressed <= LONGEST_FRAME, "more than a frame may have", TableDiffers)
            stated = frame_content_size(frame)
            demand(stated <= MOST_CONTENT, "a frame of more than any may have")
            content += subprocess.run(ZSTD, input=frame, capture_output=True, check=True).stdout
            demand(stated == size, "another size than a sound frame has", TableDiffers)
        return content

    def frames_of(self, place):
        start, end = (self.starts[self.body + place["offset"] + length] for length in (0, place["length"]))
        demand(start < end, "no frames of its own")
        return start, end

    def part(self, place):
        first, last = self.frames_of(place)
        demand(digest(self.data[self.offsets[first] : self.offsets[last]]) == place["blake3"], "another digest")
        return self.unpack(first, last)

    def read_manifest(self):
        tar, frames = b"", 0
        while frames == 0 or len(tar) < 512 + int(tar[124:135], 8):
            tar, frames = tar + self.unpack(frames, frames + 1), frames + 1
        self.manifest, _ = document_entry(tar, "manifest.json", "manifest")
        self.body, self.mtime = self.offsets[frames], self.manifest["source_date_epoch"]
        self.packages = packages = {package["id"]: package for package in self.manifest["packages"]}
        demand(all(packages.keys() >= {*it["requires"]} for it in packages.values()), "not closed")
        demand(len({package["tree"] for package in packages.values()}) == len(packages), "a tree twice")
        demand(self.manifest.get("configuration") in (None, *(parse_id(id)[1].hex() for id in packages)), "of another")
        self.program = self.manifest.get("installer")
        self.places = [("listing", id, package["listing"]) for id, package in packages.items()]
        self.places += [("installer", None, self.program["archive"])] if self.program else []
        self.places += [("package", id, package["archive"]) for id, package in packages.items()]
        *starts, self.end = accumulate((place["length"] for _, _, place in self.places), initial=0)
        demand(starts == [place["offset"] for _, _, place in self.places], "parts do not follow each other")

    def read_parts(self):
        self.attested, self.last = self.starts[self.body + self.end], len(self.frames) - 1
        self.holds("end", None, lambda: demand(self.unpack(self.last, self.last + 1) == bytes(1024), "no end of a tar"))
        if self.attested < self.last:
            self.holds("attestations", None, self.read_attestations)
        if self.program:
            self.holds("installer", None, self.read_installer)
        for id, package in self.packages.items():
            is_listed = self.holds("listing", id, lambda: self.read_listing(package))
            check = (lambda: self.read_package(package)) if is_listed else lambda: self.part(package["archive"])
            self.holds("package", id, check)

    def read_attestations(self):
        tar = self.unpack(self.attested, self.last)
        envelopes = document_entry(tar, "attestations.json", "attestations", self.mtime)[0]["envelopes"]
        held = {parse_id(id): package["tree"] for id, package in self.packages.items()}
        held |= {(): self.program["blake3"]} if self.program else {}
        demand(envelopes and all(held[about] == content for about, content, _ in map(claim, envelopes)), "not here")

    def read_installer(self):
        tar, size = self.part(self.program["archive"]), self.program["size"]
        head, content = header("store", {"type": "file", "size": size}, self.mtime), tar[512 : 512 + size]
        demand(tar == head + padded(content) and digest(content) == self.program["blake3"], "another installer")

    def read_listing(self, package):
        tar = self.part(package["listing"])
        listing, content = document_entry(tar, f"trees/{package['tree']}.json", "listing", self.mtime)
        demand(digest(content) == package["tree"], "another tree digest")
        folders = {"", *(entry["path"] for entry in listing["entries"] if entry["type"] == "dir")}
        demand(all(entry["path"].rpartition("/")[0] in folders for entry in listing["entries"]), "a missing folder")
        demand(sum(entry.get("size", 0) for entry in listing["entries"]) == package["size"], "another size")
        self.listing = sorted(listing["entries"], key=lambda entry: entry["path"].replace("/", "\0"))

    def read_package(self, package):
        tar, at, recipe = self.part(package["archive"]), 0, b""
        for entry in [{"path": "", "type": "dir"}, *self.listing]:
            head = header(f"packages/{package['id']}/{entry['path']}".rstrip("/"), entry, self.mtime)
            start, size = at + len(head), entry.get("size", 0)
            content, behind = tar[start : start + size], start + size + -size % 512
            demand(tar[at:behind] == head + padded(content), f"another header or padding: {entry['path']}")
            demand(digest(content) == entry.get("blake3", digest(b"")), f"another content: {entry['path']}")
            at, recipe = behind, content if entry["path"] == "buildinfo.full.json" else recipe
        demand(at == len(tar), "more than is listed")
        name, expected = parse_id(package["id"])
        demand(blake3(recipe).digest() == expected, "another resolved recipe than the ID says")
        found, stated = document(recipe, "recipe"), {**self.manifest, "roles": [], **package, "name": name}
        fields = ("name", "version", "requires", "roles", "platform", "prefix", "source_date_epoch")
        demand(all(found[field] == stated[field] for field in fields), "the manifest states something else")

if __name__ == "__main__":
    path, *keys = map(Path, sys.argv[1:])
    artifact = Artifact(path.read_bytes())
    for key in keys:
        artifact.holds("signature", None, lambda: check_signature(artifact.data, Path(f"{path}.minisig"), key))
    found = [{"part": part, "package": id, "reason": why} for (part, id), why in artifact.differences.items()]
    json.dump({"differences": found}, sys.stdout, indent=1)
    sys.exit(3 if found else 0)
