"""Verifies a master artifact from docs/src/formats.md alone: a second opinion that shares no line with `store`.

    python3 verify.py ARTIFACT [PUBLIC-KEY-FILE]

With a key, ARTIFACT.minisig must be its signature of the artifact. Prints {"differences": [{"part": …, "package": …},
…]} and exits with 0 when there are none, else with 3. It needs the `blake3` package and, as Python has no zstd, `zstd`.
"""

import hashlib, json, re, struct, subprocess, sys
from base64 import b32decode, b32encode, b64decode
from pathlib import Path

from blake3 import blake3

NAME = re.compile(rb"[a-z0-9_@][a-z0-9_@.+-]{0,99}")
FRAME_MAGIC, SKIPPABLE_MAGIC, TABLE_MAGIC = 0xFD2FB528, 0x184D2A5E, 0x8F92EAB1

class Differs(Exception):
    """Something is not as docs/src/formats.md says."""

class TableDiffers(Differs):
    """The seek table says something else of a frame that is sound."""

def demand(condition, reason):
    if not condition:
        raise Differs(reason)

def digest(data):
    return blake3(data).hexdigest()

def canonical(data):
    """What the JSON document `data` says, when it is spelled canonically."""
    try:
        document = json.loads(data.decode("utf-8"))
        spelled = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise Differs(f"no JSON: {error}") from error
    demand(spelled == data, "not canonical")
    demand(isinstance(document, dict), "no object")
    return document

def parse_id(text):
    """The name and the digest that a store ID is made of."""
    name, _, spelled = text.rpartition("--")
    demand(NAME.fullmatch(name.encode()) and "--" not in name and not name.endswith("-"), f"no name: {name}")
    demand(re.fullmatch("[a-z2-7]{52}", spelled), f"no digest: {spelled}")
    raw = b32decode(spelled.upper() + "====")
    demand(b32encode(raw).decode().rstrip("=").lower() == spelled, "spare bits are not zero")
    return name, raw.hex()

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
    kind, name, target = entry["type"], path.encode(), entry.get("target", "").encode()
    if kind == "dir":
        name += b"/"
    out = b""
    for text, letter in ((target, b"K"), (name, b"L")):
        if len(text) > 100:
            out += block(b"././@LongLink", 0o644, len(text) + 1, 0, letter) + padded(text + b"\0")
    if kind == "file":
        return out + block(name, 0o555 if entry["executable"] else 0o444, entry["size"], mtime, b"0")
    return out + (block(name, 0o555, 0, mtime, b"5") if kind == "dir" else block(name, 0o777, 0, mtime, b"2", target))

def document_entry(tar, path, mtime=None):
    """The content of the one entry of `tar`, which is the document `path`."""
    demand(re.fullmatch(rb"[0-7]{11}", tar[124:135]), "no tar header")
    size = int(tar[124:135], 8)
    content = tar[512 : 512 + size]
    epoch = canonical(content).get("source_date_epoch") if mtime is None else mtime
    demand(isinstance(epoch, int) and epoch >= 0, "no time")
    entry = {"type": "file", "executable": False, "size": size}
    demand(tar == header(path, entry, epoch) + padded(content), "another header or padding")
    return content

def content_size(frame):
    """What a zstd frame says it unpacks to (RFC 8878, 3.1.1.1)."""
    demand(len(frame) > 5 and struct.unpack_from("<I", frame)[0] == FRAME_MAGIC, "no frame")
    flags = frame[4]
    single = flags >> 5 & 1
    width = (single, 2, 4, 8)[flags >> 6]
    start = 5 + (1 - single) + (0, 1, 2, 4)[flags & 3]
    demand(width and len(frame) >= start + width, "a frame that does not say its size")
    return int.from_bytes(frame[start : start + width], "little") + (256 if width == 2 else 0)

def unpack(frames):
    ran = subprocess.run(["zstd", "-dcq"], input=frames, capture_output=True, check=False)
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
    demand(len(signature) == 64 and len(key) == 32, "no signature or no key")
    challenge = hashlib.sha512(signature[:32] + key + message).digest()
    s, k = (int.from_bytes(data, "little") for data in (signature[32:], challenge))
    base = point(b"\x58" + b"\x66" * 31)
    demand(s < Q and times(s, base) == add(point(signature[:32]), times(k % Q, point(key))), "signed by somebody else")

def check_signature(data, signature, key):
    """A signature of minisign, over the artifact's BLAKE2b, and a second one, over the first and the comment."""
    (_, first, comment, second), key = signature.splitlines(), b64decode(key.split()[-1])
    first = b64decode(first)
    demand(first[:2] == b"ED" and first[2:10] == key[2:10], "another key")
    demand_signed(hashlib.blake2b(data).digest(), first[10:], key[10:])
    demand_signed(first[10:] + comment.removeprefix(b"trusted comment: "), b64decode(second), key[10:])

class Artifact:
    def __init__(self, data):
        self.data, self.differences = data, []
        self.guard("seek_table", None, lambda: setattr(self, "frames", seek_table(data)))
        if not self.differences:
            self.starts = [0]
            for compressed, _ in self.frames:
                self.starts.append(self.starts[-1] + compressed)
            self.guard("manifest", None, self.read_manifest)
        if not self.differences:
            self.read_parts()

    def guard(self, part, package, step):
        """Runs one check; what it finds is noted, once for each part."""
        try:
            step()
        except (Differs, KeyError, OSError, TypeError, ValueError) as reason:
            found = {"part": part, "package": package}
            if isinstance(reason, TableDiffers):
                found = {"part": "seek_table", "package": None}
            if all(found.items() - d.items() for d in self.differences):
                self.differences.append({**found, "reason": str(reason)})

    def unpack(self, first, last):
        """The content of some frames, each checked to be what the seek table says."""
        for at in range(first, last):
            frame = self.data[self.starts[at] : self.starts[at + 1]]
            if content_size(frame) != self.frames[at][1]:
                demand(len(unpack(frame)) == content_size(frame), "a frame of another size than it says")
                raise TableDiffers("it says another size than a sound frame has")
        content = unpack(self.data[self.starts[first] : self.starts[last]])
        demand(len(content) == sum(size for _, size in self.frames[first:last]), "another size")
        return content

    def part(self, frame_range):
        """The content of a part of the artifact, from where the manifest says it lies."""
        start = self.body + frame_range["offset"]
        end = start + frame_range["length"]
        demand(start in self.starts and end in self.starts[:-1], "no frames of its own")
        demand(digest(self.data[start:end]) == frame_range["blake3"], "another digest")
        return self.unpack(self.starts.index(start), self.starts.index(end))

    def read_manifest(self):
        tar, frames = b"", 0
        while frames == 0 or len(tar) < 512 + int(tar[124:135], 8):
            demand(frames < len(self.frames), "no end")
            tar += self.unpack(frames, frames + 1)
            demand(re.fullmatch(rb"[0-7]{11}", tar[124:135]), "no tar header")
            frames += 1
        self.manifest = canonical(document_entry(tar, "manifest.json"))
        self.body = self.starts[frames]
        demand(self.manifest["format"] == 1, "a newer format")
        ids = [package["id"] for package in self.manifest["packages"]]
        demand(ids == sorted(set(ids)), "packages out of order")
        for package in self.manifest["packages"]:
            parse_id(package["id"])
            demand(package["requires"] == sorted(set(package["requires"]) & set(ids)), "not closed")
        end = 0
        for _, _, place in self.places():
            demand(place["offset"] == end, "parts do not follow each other")
            end += place["length"]
        demand(self.body + end in self.starts[:-1], "something between the packages and the end")
        self.attested = self.starts.index(self.body + end)

    def places(self):
        packages = self.manifest["packages"]
        yield from (("listing", package["id"], package["listing"]) for package in packages)
        if "installer" in self.manifest:
            yield "installer", None, self.manifest["installer"]["archive"]
        yield from (("package", package["id"], package["archive"]) for package in packages)

    def read_parts(self):
        last = len(self.frames) - 1
        self.guard("end", None, lambda: demand(self.unpack(last, last + 1) == bytes(1024), "no end of a tar"))
        if self.attested < last:
            self.guard("attestations", None, self.read_attestations)
        if "installer" in self.manifest:
            self.guard("installer", None, self.read_installer)
        for package in self.manifest["packages"]:
            self.listing = None
            self.guard("listing", package["id"], lambda: self.read_listing(package))
            self.guard("package", package["id"], lambda: self.read_package(package))

    def read_attestations(self):
        tar = self.unpack(self.attested, len(self.frames) - 1)
        content = document_entry(tar, "attestations.json", self.manifest["source_date_epoch"])
        demand(canonical(content)["format"] == 1, "a newer format")

    def read_installer(self):
        installer, mtime = self.manifest["installer"], self.manifest["source_date_epoch"]
        tar = self.part(installer["archive"])
        head = header("store", {"type": "file", "executable": True, "size": installer["size"]}, mtime)
        content = tar[512 : 512 + installer["size"]]
        demand(tar == head + padded(content) and digest(content) == installer["blake3"], "another installer")

    def read_listing(self, package):
        tar = self.part(package["listing"])
        content = document_entry(tar, f"trees/{package['tree']}.json", self.manifest["source_date_epoch"])
        demand(digest(content) == package["tree"], "another tree digest")
        listing = canonical(content)
        paths = [entry["path"].encode() for entry in listing["entries"]]
        demand(listing["format"] == 1 and paths == sorted(set(paths)), "paths out of order")
        demand(not any(part in (b"", b".", b"..") for path in paths for part in path.split(b"/")), "an unsafe path")
        sizes = sum(entry.get("size", 0) for entry in listing["entries"])
        demand(sizes == package["size"], "another size")
        self.listing = listing["entries"]

    def read_package(self, package):
        tar = self.part(package["archive"])
        if self.listing is None:
            return
        mtime, top, at, recipe = self.manifest["source_date_epoch"], f"packages/{package['id']}", 0, None
        entries = sorted(self.listing, key=lambda entry: entry["path"].encode().replace(b"/", b"\0"))
        for entry in [{"path": "", "type": "dir"}, *entries]:
            path = f"{top}/{entry['path']}".rstrip("/")
            head = header(path, entry, mtime)
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

    def check_recipe(self, package, recipe):
        name, expected = parse_id(package["id"])
        demand(recipe is not None and digest(recipe) == expected, "another resolved recipe than the ID says")
        resolved = canonical(recipe)
        demand(resolved["name"] == name and resolved["version"] == package["version"], "another name or version")
        demand(resolved["requires"] == package["requires"], "other requirements")
        demand(resolved["roles"] == package.get("roles", []), "other roles")
        demand(resolved["source_date_epoch"] == self.manifest["source_date_epoch"], "another time")

def main():
    path, *keys = map(Path, sys.argv[1:])
    artifact = Artifact(path.read_bytes())
    for key in keys:
        signed = lambda: (artifact.data, Path(f"{path}.minisig").read_bytes(), key.read_bytes())
        artifact.guard("signature", None, lambda: check_signature(*signed()))
    json.dump({"differences": artifact.differences}, sys.stdout, indent=1)
    return 3 if artifact.differences else 0

if __name__ == "__main__":
    sys.exit(main())
