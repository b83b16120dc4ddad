"""Verifies a master artifact from docs/src/formats.md alone: a second opinion that shares no line with `store`.

    python3 verify.py ARTIFACT [PUBLIC-KEY-FILE]

With a key, ARTIFACT.minisig must be its signature of the artifact. Prints {"differences": [{"part": …, "package": …},
…]} and exits with 0 when there are none, else with 3. It needs the `blake3` package and, as Python has no zstd, `zstd`.
"""

import hashlib, json, re, struct, subprocess, sys
from base64 import b64decode
from itertools import accumulate
from pathlib import Path

from blake3 import blake3

from documents import ATTESTATIONS, LISTING, MANIFEST, RECIPE, Differs, base64, claim, demand, document, parse_id

FRAME_MAGIC, SKIPPABLE_MAGIC, TABLE_MAGIC = 0xFD2FB528, 0x184D2A5E, 0x8F92EAB1
MOST_CONTENT, LONGEST_FRAME, LONGEST_DOCUMENT = 4 << 20, (4 << 20) + (16 << 10), 64 << 20

class TableDiffers(Differs):
    """The seek table says something else of a frame that is sound."""

def digest(data):
    return blake3(data).hexdigest()

def number(value):
    return b"%011o\0" % value if value < 1 << 33 else b"\x80" + value.to_bytes(11, "big")

def block(name, mode, size, mtime, kind, target=b""):
    head = name[:100].ljust(100, b"\0") + b"%07o\0" % mode + b"0000000\0" * 2 + number(size) + number(mtime)
    tail = kind + target[:100].ljust(100, b"\0") + b"ustar  \0" + bytes(247)
    return head + b"%07o\0" % sum(head + b" " * 8 + tail) + tail

def padded(data):
    return data + bytes(-len(data) % 512)

def header(path, entry, mtime):
    """The blocks before an entry's content."""
    kind, target, out = entry["type"], entry.get("target", "").encode(), b""
    name = path.encode() + (b"/" if kind == "dir" else b"")
    for text, letter in ((target, b"K"), (name, b"L")):
        if len(text) > 100:
            out += block(b"././@LongLink", 0o644, len(text) + 1, 0, letter) + padded(text + b"\0")
    if kind == "file":
        return out + block(name, 0o555 if entry["executable"] else 0o444, entry["size"], mtime, b"0")
    return out + (block(name, 0o555, 0, mtime, b"5") if kind == "dir" else block(name, 0o777, 0, mtime, b"2", target))

def document_size(tar):
    """How long the document is whose entry begins `tar`."""
    demand(re.fullmatch(rb"[0-7]{11}", tar[124:135]), "no tar header")
    size = int(tar[124:135], 8)
    demand(size <= LONGEST_DOCUMENT, "too long for a document")
    return size

def document_entry(tar, path, shape, mtime=None):
    """The document `path`, which is the one entry of `tar`, and its bytes."""
    content = tar[512 : 512 + document_size(tar)]
    found = document(content, shape)
    entry = {"type": "file", "executable": False, "size": len(content)}
    expected = header(path, entry, found["source_date_epoch"] if mtime is None else mtime) + padded(content)
    demand(tar == expected, "another header or padding")
    return found, content

def frame_content_size(frame):
    """What `frame`, which must be just one zstd frame, says it unpacks to (RFC 8878, 3.1.1)."""
    demand(len(frame) > 5 and struct.unpack_from("<I", frame)[0] == FRAME_MAGIC, "no frame")
    flags = frame[4]
    single = flags >> 5 & 1
    width = (single, 2, 4, 8)[flags >> 6]
    start = 5 + (1 - single) + (0, 1, 2, 4)[flags & 3]
    demand(width and flags & 4, "a frame without its content's size or checksum")
    at, is_last = start + width, 0
    while not is_last:
        demand(at + 3 <= len(frame), "a frame that is cut off")
        block_header = int.from_bytes(frame[at : at + 3], "little")
        is_last, is_run, length = block_header & 1, block_header >> 1 & 3 == 1, block_header >> 3
        at += 3 + (1 if is_run else length)
    demand(at + 4 == len(frame), "not just one frame")
    return int.from_bytes(frame[start : start + width], "little") + (256 if width == 2 else 0)

def unpack(frames):
    ran = subprocess.run(["zstd", "-dcq", "--long=31"], input=frames, capture_output=True, check=False)
    demand(ran.returncode == 0, ran.stderr.decode(errors="replace").strip())
    return ran.stdout

def seek_table(data):
    """The lengths of all frames, as (compressed, decompressed), from the end of the file."""
    demand(len(data) >= 17, "too short")
    count, descriptor, magic = struct.unpack("<IBI", data[-9:])
    demand(magic == TABLE_MAGIC and descriptor == 0, "no seek table")
    length = 8 * count + 17
    demand(length <= len(data), "a seek table longer than the file")
    table = data[-length:]
    demand(struct.unpack_from("<II", table) == (SKIPPABLE_MAGIC, length - 8), "no skippable frame")
    frames = list(struct.iter_unpack("<II", table[8:-9]))
    demand(all(compressed and decompressed for compressed, decompressed in frames), "an empty frame")
    demand(sum(compressed for compressed, _ in frames) == len(data) - length, "frames that do not fill the file")
    return frames

P, Q = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P

def add(one, other):
    (x, y), (u, v) = one, other
    t = D * x * u * y * v % P
    return (x * v + u * y) * pow(1 + t, -1, P) % P, (y * v + x * u) * pow(1 - t, -1, P) % P

def times(factor, point):
    total = (0, 1)
    for bit in bin(factor)[2:]:
        total = add(total, total)
        total = add(total, point) if bit == "1" else total
    return total

def point(data):
    """The point of edwards25519 that 32 bytes spell (RFC 8032, 5.1.3)."""
    y, sign = int.from_bytes(data, "little") & (1 << 255) - 1, data[31] >> 7
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    root = pow(square, (P + 3) // 8, P)
    x = root if root * root % P == square else root * pow(2, (P - 1) // 4, P) % P
    demand(y < P and x * x % P == square, "no point")
    return (x if x & 1 == sign else P - x), y

def demand_signed(message, signature, key):
    """Ed25519 (RFC 8032, 5.1.7)."""
    challenge = hashlib.sha512(signature[:32] + key + message).digest()
    s, k = (int.from_bytes(data, "little") for data in (signature[32:], challenge))
    base = point(b"\x58" + b"\x66" * 31)
    demand(s < Q and times(s, base) == add(point(signature[:32]), times(k % Q, point(key))), "signed by somebody else")

def check_signature(data, signature, key):
    """A signature of minisign, over the artifact's BLAKE2b, and a second one, over the first and the comment."""
    untrusted, first, trusted, second = signature.decode(errors="replace").removesuffix("\n").split("\n")
    comment = trusted.removeprefix("trusted comment: ")
    demand(untrusted.startswith("untrusted comment: ") and comment != trusted, "lines that begin otherwise")
    demand(comment == comment.strip() and not re.search(r"[\0-\x08\n-\x1f\x7f-\x9f]", comment), "no plain comment")
    demand(base64(74)(first) and base64(64)(second), "no base64 of so many bytes")
    first, key = b64decode(first), b64decode(key.splitlines()[1])
    demand(first[:2] == b"ED" and key[:2] == b"Ed" and first[2:10] == key[2:10], "another key")
    demand_signed(hashlib.blake2b(data).digest(), first[10:], key[10:])
    demand_signed(first[10:] + comment.encode(), b64decode(second), key[10:])

class Artifact:
    """An artifact, and what is wrong with it: up to where its parts lie the first thing, and then all of them."""

    def __init__(self, data):
        self.data, self.differences = data, []
        if self.holds("seek_table", None, self.read_seek_table) and self.holds("manifest", None, self.read_manifest):
            fit = (self.holds(part, package, lambda: self.frames_of(place)) for part, package, place in self.places())
            if all(fit) and self.holds("end", None, self.find_end):
                self.read_parts()

    def holds(self, part, package, check):
        """Whether a check finds nothing; what it finds is noted, once for each part."""
        try:
            check()
            return True
        except Exception as reason:
            lies = isinstance(reason, TableDiffers)
            found = {"part": "seek_table", "package": None} if lies else {"part": part, "package": package}
            if all(found.items() - difference.items() for difference in self.differences):
                self.differences.append({**found, "reason": repr(reason)})
            return False

    def read_seek_table(self):
        self.frames = seek_table(self.data)
        self.offsets = [0, *accumulate(compressed for compressed, _ in self.frames)]
        self.starts = {offset: frame for frame, offset in enumerate(self.offsets)}

    def unpack(self, first, last):
        """The content of some frames, each checked to be what the seek table says."""
        for at in range(first, last):
            frame, (compressed, size) = self.data[self.offsets[at] : self.offsets[at + 1]], self.frames[at]
            if size > MOST_CONTENT or compressed > LONGEST_FRAME:
                raise TableDiffers("it says more than a frame may have")
            stated = frame_content_size(frame)
            if stated != size:
                demand(stated <= MOST_CONTENT and len(unpack(frame)) == stated, "a frame of another size than it says")
                raise TableDiffers("it says another size than a sound frame has")
        content = unpack(self.data[self.offsets[first] : self.offsets[last]])
        demand(len(content) == sum(size for _, size in self.frames[first:last]), "another size")
        return content

    def frames_of(self, place):
        """The first frame of a part and the one behind its last."""
        start = self.body + place["offset"]
        end = start + place["length"]
        demand(start < end and start in self.starts and end in self.starts, "no frames of its own")
        return self.starts[start], self.starts[end]

    def part(self, place):
        """The content of a part, from where the manifest says it lies."""
        first, last = self.frames_of(place)
        demand(digest(self.data[self.offsets[first] : self.offsets[last]]) == place["blake3"], "another digest")
        return self.unpack(first, last)

    def read_manifest(self):
        tar, frames = b"", 0
        while frames == 0 or len(tar) < 512 + document_size(tar):
            demand(frames < len(self.frames), "no end")
            tar += self.unpack(frames, frames + 1)
            frames += 1
        self.manifest, _ = document_entry(tar, "manifest.json", MANIFEST)
        self.body, self.mtime = self.offsets[frames], self.manifest["source_date_epoch"]
        self.packages = {package["id"]: package for package in self.manifest["packages"]}
        demand(all(self.packages.keys() >= {*it["requires"]} for it in self.packages.values()), "not closed")
        demand(len({package["tree"] for package in self.packages.values()}) == len(self.packages), "a tree twice")
        prefix, digests = self.manifest["prefix"] + "/", {parse_id(id)[1].hex() for id in self.packages}
        demand(self.manifest.get("configuration") in (None, *digests), "the configuration of another artifact")
        secrets = self.manifest.get("secrets", [])
        demand(not any(f"{secret}/".startswith(prefix) for secret in secrets), "a secret within the prefix")
        end = 0
        for _, _, place in self.places():
            demand(place["offset"] == end, "parts do not follow each other")
            end += place["length"]
        self.behind = self.body + end

    def places(self):
        yield from (("listing", id, package["listing"]) for id, package in self.packages.items())
        if "installer" in self.manifest:
            yield "installer", None, self.manifest["installer"]["archive"]
        yield from (("package", id, package["archive"]) for id, package in self.packages.items())

    def find_end(self):
        self.attested, self.last = self.starts[self.behind], len(self.frames) - 1
        demand(self.attested <= self.last, "no end")

    def read_parts(self):
        self.holds("end", None, lambda: demand(self.unpack(self.last, self.last + 1) == bytes(1024), "no end of a tar"))
        if self.attested < self.last:
            self.holds("attestations", None, self.read_attestations)
        if "installer" in self.manifest:
            self.holds("installer", None, self.read_installer)
        for id, package in self.packages.items():
            self.listing = None
            self.holds("listing", id, lambda: self.read_listing(package))
            self.holds("package", id, lambda: self.read_package(package))

    def read_attestations(self):
        tar = self.unpack(self.attested, self.last)
        found, _ = document_entry(tar, "attestations.json", ATTESTATIONS, self.mtime)
        for id, tree, _ in map(claim, found["envelopes"]):
            demand(id in self.packages and self.packages[id]["tree"] == tree, f"not about what is here: {id}")

    def read_installer(self):
        installer = self.manifest["installer"]
        tar = self.part(installer["archive"])
        head = header("store", {"type": "file", "executable": True, "size": installer["size"]}, self.mtime)
        content = tar[512 : 512 + installer["size"]]
        demand(tar == head + padded(content) and digest(content) == installer["blake3"], "another installer")

    def read_listing(self, package):
        tar = self.part(package["listing"])
        listing, content = document_entry(tar, f"trees/{package['tree']}.json", LISTING, self.mtime)
        demand(digest(content) == package["tree"], "another tree digest")
        folders = {"", *(entry["path"] for entry in listing["entries"] if entry["type"] == "dir")}
        demand(all(entry["path"].rpartition("/")[0] in folders for entry in listing["entries"]), "a missing folder")
        demand(sum(entry.get("size", 0) for entry in listing["entries"]) == package["size"], "another size")
        self.listing = listing["entries"]

    def read_package(self, package):
        tar = self.part(package["archive"])
        if self.listing is None:
            return
        top, at, recipe = f"packages/{package['id']}", 0, b""
        entries = sorted(self.listing, key=lambda entry: entry["path"].replace("/", "\0"))
        for entry in [{"path": "", "type": "dir"}, *entries]:
            path = f"{top}/{entry['path']}".rstrip("/")
            head = header(path, entry, self.mtime)
            demand(tar[at : at + len(head)] == head, f"another header: {path}")
            at += len(head)
            if entry["type"] == "file":
                content = tar[at : at + entry["size"]]
                demand(digest(content) == entry["blake3"], f"another content: {path}")
                demand(tar[at : at + len(padded(content))] == padded(content), f"another padding: {path}")
                at += len(padded(content))
                recipe = content if entry["path"] == "buildinfo.full.json" else recipe
        demand(at == len(tar), "more than is listed")
        self.check_recipe(package, recipe)

    def check_recipe(self, package, content):
        name, expected = parse_id(package["id"])
        demand(blake3(content).digest() == expected, "another resolved recipe than the ID says")
        demand(len(content) <= LONGEST_DOCUMENT, "too long for a document")
        recipe, stated = document(content, RECIPE), {**self.manifest, "roles": [], **package, "name": name}
        for field in ("name", "version", "requires", "roles", "platform", "prefix", "source_date_epoch"):
            demand(recipe[field] == stated[field], f"the manifest states another {field}")

def main():
    path, *keys = map(Path, sys.argv[1:])
    artifact = Artifact(path.read_bytes())
    for key in keys:
        signed = lambda: (artifact.data, Path(f"{path}.minisig").read_bytes(), key.read_bytes())
        artifact.holds("signature", None, lambda: check_signature(*signed()))
    json.dump({"differences": artifact.differences}, sys.stdout, indent=1)
    return 3 if artifact.differences else 0

if __name__ == "__main__":
    sys.exit(main())
