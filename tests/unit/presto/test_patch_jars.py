"""The patches of Presto's jars fit the jars that are locked, and refuse other classes."""

import fnmatch
import importlib.util
import struct
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from common.settings import ROOT

PRESTO = ROOT / "presto"
LOCKED = [line.split("  ")[1] for line in (PRESTO / "jars.sha256").read_text().splitlines()]


def load() -> ModuleType:
    specification = importlib.util.spec_from_file_location("patch_jars", PRESTO / "patch_jars.py")
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


patch_jars = load()


def class_file(method: str) -> bytes:
    """Make a class file without fields whose one method has no code."""
    name = method.encode()
    constants = struct.pack(">HBH", 2, 1, len(name)) + name
    members = struct.pack(">HHHHHHHHHH", 0, 0, 0, 0, 0, 1, 0, 1, 0, 0)
    return bytes.fromhex("cafebabe0000003d") + constants + members + struct.pack(">H", 0)


def annotated_class_file() -> bytes:
    """Make a class file without fields and methods that has an annotation without members."""
    texts = (b"RuntimeVisibleAnnotations", b"Lown;")
    constants = b"".join(struct.pack(">BH", 1, len(text)) + text for text in texts)
    members = struct.pack(">HHHHHH", 0, 0, 0, 0, 0, 0)
    attributes = struct.pack(">HHIHHH", 1, 1, 6, 1, 2, 0)
    return bytes.fromhex("cafebabe0000003d") + struct.pack(">H", 3) + constants + members + attributes


def test_each_patch_finds_one_of_the_locked_jars() -> None:
    for pattern, _, _ in patch_jars.PATCHES:
        assert len(fnmatch.filter(LOCKED, pattern)) == 1, pattern


def test_a_class_is_annotated_as_internal_once_and_keeps_its_own_annotations() -> None:
    patched = patch_jars.with_internal_role(annotated_class_file())
    assert patch_jars.with_internal_role(patched) == patched
    file = patch_jars.ClassFile(patched)
    start = file.annotations()
    size, count, kind, members, name, tag, values, value_tag, value = struct.unpack_from(
        ">IHHHHcHcH", patched, start
    )
    assert (count, members, tag, values, value_tag) == (2, 1, b"[", 1, b"s")
    assert [file.names[index] for index in (kind, name, value)] == [
        "Ljavax/annotation/security/RolesAllowed;",
        "value",
        "internal",
    ]
    own, none = struct.unpack_from(">HH", patched, start + 4 + size - 4)
    assert (file.names[own], none) == ("Lown;", 0)
    assert start + 4 + size == len(patched)


def test_a_class_without_annotations_is_refused() -> None:
    with pytest.raises(ValueError, match="The class had no annotations"):
        patch_jars.with_internal_role(class_file("any") + struct.pack(">H", 0))


def test_a_class_without_the_method_is_refused() -> None:
    with pytest.raises(ValueError, match="The method isSupportedPartitionKey was not found"):
        patch_jars.with_date_keys(class_file("other"))
    with pytest.raises(ValueError, match="The method start was not found"):
        patch_jars.with_loopback_thrift(class_file("other"))


def test_a_class_that_names_the_address_stays_as_it_is() -> None:
    patched = class_file("127.0.0.1")
    assert patch_jars.with_loopback_thrift(patched) == patched


def test_a_folder_without_the_jars_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="There were 0 jars plugin/cassandra/presto-cassandra"):
        patch_jars.main(tmp_path)


def test_one_class_of_a_jar_is_replaced_and_its_other_members_stay(tmp_path: Path) -> None:
    jars = [tmp_path / "one.jar", tmp_path / "other.jar"]
    for jar in jars:
        with zipfile.ZipFile(jar, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(zipfile.ZipInfo("a/B.class", (2020, 1, 2, 3, 4, 6)), b"before")
            archive.writestr(zipfile.ZipInfo("a/C.class", (2021, 1, 2, 3, 4, 6)), b"untouched")
        patch_jars.patch_jar(jar, "a/B.class", lambda content: content.replace(b"before", b"after"))
    with zipfile.ZipFile(jars[0]) as archive:
        assert [info.date_time[0] for info in archive.infolist()] == [2020, 2021]
        assert (archive.read("a/B.class"), archive.read("a/C.class")) == (b"after", b"untouched")
    assert jars[0].read_bytes() == jars[1].read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.jar", "other.jar"]
