"""TensorBoard's event files, read by TFRecord's format and tensorboardX's own messages and checksums."""

import struct
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any


def events(folder: Path) -> list[Any]:
    """The events of the one file that is in the folder."""
    files = list(folder.glob("*"))
    assert len(files) == 1 and ".tfevents." in files[0].name, files
    return list(_events(files[0].read_bytes()))


def _events(data: bytes) -> Iterator[Any]:
    # Its messages have no types.
    crc32c = import_module("tensorboardX.crc32c").crc32c
    made: Any = import_module("tensorboardX.proto.event_pb2").Event
    place = 0
    while place < len(data):
        (length,) = struct.unpack_from("<Q", data, place)
        body = data[place + 12 : place + 12 + length]
        (checksum,) = struct.unpack_from("<I", data, place + 12 + length)
        assert checksum == _masked(crc32c(body)), "the record is damaged"
        event = made()
        event.ParseFromString(body)
        yield event
        place += 16 + length


def _masked(checksum: int) -> int:
    return (((checksum >> 15) | (checksum << 17 & 0xFFFFFFFF)) + 0xA282EAD8) & 0xFFFFFFFF


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    found: dict[str, list[tuple[int, float]]] = {}
    for event in events(folder):
        for value in event.summary.value:
            if value.HasField("simple_value"):
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def texts(folder: Path) -> dict[str, str]:
    values = [value for event in events(folder) for value in event.summary.value if value.HasField("tensor")]
    return {value.tag.removesuffix("/text_summary"): value.tensor.string_val[0].decode() for value in values}


def pictures(folder: Path) -> dict[str, bytes]:
    values = [value for event in events(folder) for value in event.summary.value if value.HasField("image")]
    return {value.tag: value.image.encoded_image_string for value in values}
