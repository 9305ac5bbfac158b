"""Reading generated sources back: weight types, weight values, and a hash of all of them."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from hwsim.core.errors import VerificationError

RECORD = "hwsim_project.json"
_WEIGHTS = Path("firmware/weights")
_TYPEDEF = re.compile(r"^typedef (.+) (\w+);$", re.MULTILINE)
_ARRAY = re.compile(r"^(\w+) (\w+)\[(\d+)\] = \{(.*)\};$", re.MULTILINE)


def typedefs(folder: Path) -> dict[str, str]:
    """Type names of `firmware/defines.h` and what they stand for."""
    return {name: text for text, name in _TYPEDEF.findall((folder / "firmware/defines.h").read_text())}


def weight_type(folder: Path, header: str) -> str:
    """The type, spelled out, of the array that synthesis reads from a weight header."""
    name, _, _ = weight_array(folder, header)
    return typedefs(folder)[name]


def weight_array(folder: Path, header: str) -> tuple[str, int, str]:
    """Type name, length and the comma-separated values of the array in a weight header."""
    found = _ARRAY.search((folder / header).read_text())
    if found is None:
        raise VerificationError("no weight array", where=str(folder / header), hint="export the project again")
    return found[1], int(found[3]), found[4]


def width(type_text: str) -> int:
    """Bits of an `ap_` type."""
    found = re.search(r"<\s*(\d+)", type_text)
    assert found is not None, type_text
    return int(found[1])


def copy_weights(folder: Path, target: Path) -> None:
    """Write the weights of the headers as the text files that C simulation loads.

    Compiling the headers' arrays takes ten times as long as all the rest, so simulation reads text; taking the text
    from the headers makes sure that what is simulated is what is synthesized.

    Raises
    ------
    VerificationError
        When a header has another number of values than it declares, or the project's own text file differs.
    """
    target.mkdir()
    for header in sorted((folder / _WEIGHTS).glob("*.h")):
        _, length, values = weight_array(folder, str(_WEIGHTS / header.name))
        if len(values.split(",")) != length:
            raise VerificationError(f"{len(values.split(','))} values for {length} weights", where=header.name)
        text = header.with_suffix(".txt")
        if not text.exists() or text.read_text() != values:
            raise VerificationError(
                f"{text.name} does not hold the weights of {header.name}",
                where=str(header),
                hint="export the project again",
            )
        (target / text.name).write_text(values)


def sources_hash(folder: Path) -> str:
    """SHA-256 over names and contents of every file but the record itself and test vectors."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != RECORD and not name.startswith("tb_data/"):
            digest.update(name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
