"""Patch some classes of Presto 0.287 in its jars: `patch_jars.py FOLDER`. Decision 0016 says why.

A date can be part of a partition key. The Cassandra connector looks up partitions by text, numbers and
timestamps, but reads a whole table when a key column is a date. Two methods of one class stand in the way:
`isSupportedPartitionKey` says no to dates, and `getColumnValueForCql` writes them without quotes. Both choose
by a switch over the type. Here the first's switch sends a date where it sends a timestamp, and the second's
to a few instructions added at the end: those for a date, then those that put a text in quotes.

The Thrift server listens on 127.0.0.1. It binds to a port of every address, any free one as it is configured
here; patched, it binds to any free port of 127.0.0.1, where only this process connects to it.

Workers are announced by Presto's own processes only. A request to a class that is annotated as internal needs
the shared secret; the two classes that take announcements lack the annotation, and get it here.

A patched class stays as it is.
"""

import re
import struct
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

LOOPBACK = b"127.0.0.1"
ROLES_ALLOWED, MEMBER, INTERNAL = b"Ljavax/annotation/security/RolesAllowed;", b"value", b"internal"
TEXT, TIMESTAMP, DATE = 5, 18, 19  # the types' numbers in the switches
LOAD_AND_SWITCH = b"\x2e\xaa"
RETURN = b"\xb0"
LOAD_PORT_AND_BIND = re.compile(rb"\x2a\xb4..\xb6(..)\xb9", re.DOTALL)
LOAD_CONSTANT, ZERO, INVOKE = 0x13, 0x03, 0xB6
FRAME_WITH_THE_SAME_VARIABLES = 251
CONSTANT_SIZES = {
    **dict.fromkeys((7, 8, 16, 19, 20), 2),
    15: 3,
    **dict.fromkeys((3, 4, 9, 10, 11, 12, 17, 18), 4),
    **dict.fromkeys((5, 6), 8),
}


class Code(NamedTuple):
    """Where in the class file a method's code attribute, its instructions and its frames are."""

    attribute: int
    start: int
    length: int
    frames: int


class Switch(NamedTuple):
    """Where a switch is, where it leads by default, and where its entries are by number."""

    position: int
    default: int
    entries: dict[int, int]


class ClassFile:
    """Just enough of a class file: its constants' names and its methods' code."""

    def __init__(self, content: bytes) -> None:
        self.content = bytearray(content)
        self.position = 8
        self.names: dict[int, str] = {}
        self.pairs: dict[int, tuple[int, int]] = {}
        self._read_constants()

    def read(self, layout: str) -> int:
        value: int
        (value,) = struct.unpack_from(">" + layout, self.content, self.position)
        self.position += struct.calcsize(layout)
        return value

    def _read_constants(self) -> None:
        count, index = self.read("H"), 1
        while index < count:
            tag = self.read("B")
            if tag == 1:
                length = self.read("H")
                text = self.content[self.position : self.position + length]
                self.names[index] = text.decode("utf-8", "replace")
                self.position += length
            else:
                if CONSTANT_SIZES[tag] == 4:
                    self.pairs[index] = struct.unpack_from(">HH", self.content, self.position)
                self.position += CONSTANT_SIZES[tag]
            index += 2 if tag in (5, 6) else 1
        self.constants_end = self.position
        self.position += 6
        interfaces = self.read("H")
        self.members = self.position + 2 * interfaces

    def method_name(self, index: int) -> tuple[int, str, str]:
        """Return a method constant's class, name and descriptor."""
        owner, name_and_type = self.pairs[index]
        name, descriptor = self.pairs[name_and_type]
        return owner, self.names[name], self.names[descriptor]

    def add_constants(self, *constants: bytes) -> None:
        """Add constants behind the last one; positions found before are void."""
        self.content[self.constants_end : self.constants_end] = b"".join(constants)
        self.add("H", 8, len(constants))

    def attributes(self) -> Iterator[tuple[str, int]]:
        """Yield each attribute's name and the position of its length; read on behind the last one."""
        for _ in range(self.read("H")):
            name, length_at = self.names[self.read("H")], self.position
            self.position = length_at + 4 + self.read("I")
            behind = self.position
            yield name, length_at
            self.position = behind

    def member_attributes(self) -> Iterator[tuple[str, str, int]]:
        """Yield each field's and method's name with its attributes; read on where the class has its own."""
        self.position = self.members
        for _ in range(2):  # the fields, then the methods
            for _ in range(self.read("H")):
                self.position += 2
                name = self.names[self.read("H")]
                self.position += 2
                for attribute, length_at in self.attributes():
                    yield name, attribute, length_at

    def code(self, method: str) -> Code:
        """Find a method's code by its name."""
        for name, attribute, length_at in self.member_attributes():
            if name == method and attribute == "Code":
                return self._code(length_at)
        raise ValueError(f"The method {method} was not found in the class.")

    def annotations(self) -> int:
        """Find where the length of the class's own annotations is."""
        for _ in self.member_attributes():
            pass
        for attribute, length_at in self.attributes():
            if attribute == "RuntimeVisibleAnnotations":
                return length_at
        raise ValueError("The class had no annotations.")

    def _code(self, attribute: int) -> Code:
        self.position = attribute + 8
        length = self.read("I")
        start = self.position
        self.position += length
        handlers = self.read("H")
        self.position += 8 * handlers
        frames = dict(self.attributes())["StackMapTable"]
        return Code(attribute, start, length, frames)

    def switch(self, code: Code) -> Switch:
        """Find a method's first switch."""
        position = self.content.index(LOAD_AND_SWITCH, code.start) + 1
        table = code.start + (position - code.start) // 4 * 4 + 4
        default, low, high = struct.unpack_from(">iii", self.content, table)
        entries = {number: table + 12 + 4 * (number - low) for number in range(low, high + 1)}
        return Switch(position, position + default, entries)

    def target(self, switch: Switch, number: int) -> int:
        """Return the position a switch leads to."""
        offset: int = struct.unpack_from(">i", self.content, switch.entries[number])[0]
        return switch.position + offset

    def lead(self, switch: Switch, number: int, target: int) -> None:
        """Make a switch lead to another position."""
        struct.pack_into(">i", self.content, switch.entries[number], target - switch.position)

    def add(self, layout: str, position: int, amount: int) -> None:
        """Add to the number at a position."""
        (value,) = struct.unpack_from(">" + layout, self.content, position)
        struct.pack_into(">" + layout, self.content, position, value + amount)


def with_date_keys(content: bytes) -> bytes:
    """Return the class file with the two methods patched; unchanged where they are patched already."""
    file = ClassFile(content)
    switch = file.switch(file.code("isSupportedPartitionKey"))
    if file.target(switch, DATE) != switch.default:
        return content
    file.lead(switch, DATE, file.target(switch, TIMESTAMP))

    code = file.code("getColumnValueForCql")
    switch = file.switch(code)
    date, text = file.target(switch, DATE), file.target(switch, TEXT)
    as_text = file.content[date : date + 10]  # row.getDate(i).toString()
    quoted = file.content[text + 7 : text + 10]  # CassandraCqlUtils.quoteStringLiteral(...)
    if not file.content[date + 10 : date + 11] == file.content[text + 10 : text + 11] == RETURN:
        raise ValueError("The instructions of getColumnValueForCql were not those of Presto 0.287.")
    added = as_text + quoted + RETURN
    end = code.start + code.length
    # The last frame so far is that of the default; a frame says how far behind the one before it lies.
    frame = struct.pack(">BH", FRAME_WITH_THE_SAME_VARIABLES, end - switch.default - 1)
    file.lead(switch, DATE, end)

    behind_frames = code.frames + 4 + struct.unpack_from(">I", file.content, code.frames)[0]
    file.add("I", code.attribute, len(added) + len(frame))
    file.add("I", code.start - 4, len(added))
    file.add("I", code.frames, len(frame))
    file.add("H", code.frames + 4, 1)
    file.content[behind_frames:behind_frames] = frame
    file.content[end:end] = added
    return bytes(file.content)


def with_loopback_thrift(content: bytes) -> bytes:
    """Return the class file whose method `start` binds to 127.0.0.1; unchanged where it does already."""
    if LOOPBACK in content:
        return content
    file = ClassFile(content)
    code = file.code("start")
    call = LOAD_PORT_AND_BIND.search(file.content, code.start, code.start + code.length)
    owner, name, descriptor = file.method_name(int.from_bytes(call[1], "big")) if call else (0, "", "")
    if call is None or (name, descriptor[:3]) != ("bind", "(I)"):
        raise ValueError("The instructions of start were not those of Presto 0.287.")
    (new,) = struct.unpack_from(">H", file.content, 8)
    with_address = b"(Ljava/lang/String;I)" + descriptor[3:].encode()
    bind = next(index for index, text in file.names.items() if text == "bind")
    loopback, method = new + 1, new + 4  # the places of the five constants added below count from `new`
    file.content[call.start() : call.end() - 1] = struct.pack(
        ">BHBBH", LOAD_CONSTANT, loopback, ZERO, INVOKE, method
    )
    file.add_constants(
        constant(LOOPBACK),
        struct.pack(">BH", 8, new),
        constant(with_address),
        struct.pack(">BHH", 12, bind, new + 2),
        struct.pack(">BHH", 10, owner, new + 3),
    )
    return bytes(file.content)


def with_internal_role(content: bytes) -> bytes:
    """Return the class file annotated with `@RolesAllowed("internal")`; unchanged where it is already."""
    if ROLES_ALLOWED in content:
        return content
    file = ClassFile(content)
    (new,) = struct.unpack_from(">H", file.content, 8)
    file.add_constants(constant(ROLES_ALLOWED), constant(MEMBER), constant(INTERNAL))
    file = ClassFile(bytes(file.content))
    at = file.annotations()
    # The annotation and its one member, an array of one text.
    added = struct.pack(">HHHcHcH", new, 1, new + 1, b"[", 1, b"s", new + 2)
    file.add("I", at, len(added))
    file.add("H", at + 4, 1)
    file.content[at + 6 : at + 6] = added
    return bytes(file.content)


def constant(value: bytes) -> bytes:
    """Return the constant of a text."""
    return struct.pack(">BH", 1, len(value)) + value


PATCHES: tuple[tuple[str, str, Callable[[bytes], bytes]], ...] = (
    (
        "plugin/cassandra/presto-cassandra-*.jar",
        "com/facebook/presto/cassandra/CassandraType.class",
        with_date_keys,
    ),
    (
        "lib/drift-transport-netty-*.jar",
        "com/facebook/drift/transport/netty/server/DriftNettyServerTransport.class",
        with_loopback_thrift,
    ),
    (
        "lib/discovery-server-*.jar",
        "com/facebook/airlift/discovery/server/DynamicAnnouncementResource.class",
        with_internal_role,
    ),
    (
        "lib/discovery-server-*.jar",
        "com/facebook/airlift/discovery/store/StoreResource.class",
        with_internal_role,
    ),
)


def patch_jar(jar: Path, class_file: str, patch: Callable[[bytes], bytes]) -> None:
    """Rewrite a jar with one class patched; the same jar gives the same bytes everywhere."""
    with zipfile.ZipFile(jar) as old:
        members = [(info, old.read(info)) for info in old.infolist()]
    temporary = jar.with_suffix(".temporary")
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as new:
        for info, content in members:
            member = zipfile.ZipInfo(info.filename, info.date_time)
            new.writestr(member, patch(content) if info.filename == class_file else content)
    temporary.replace(jar)


def main(folder: Path) -> None:
    """Patch the jars in a folder."""
    for pattern, class_file, patch in PATCHES:
        jars = list(folder.glob(pattern))
        if len(jars) != 1:
            raise SystemExit(f"There were {len(jars)} jars {pattern} in {folder}, and one was expected.")
        patch_jar(jars[0], class_file, patch)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
