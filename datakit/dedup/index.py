"""A folder with the signatures of all texts kept so far, for data that arrives in parts."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from datakit.core.errors import StepError
from datakit.core.hashing import digest
from datakit.core.storage import atomic_file, locked, read_json, write_json
from datakit.dedup.minhash import signatures
from datakit.text.column import Texts
from datakit.text.kernel import Scheme

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["HASHES", "DedupIndex"]

#: Changes when the same text gives other hashes.
HASHES: Final = 2


class DedupIndex:
    """Signatures of texts that were kept, with their ids and labels; new texts are compared with all of them.

    Args:
        folder: Made where it is not there yet.
        scheme: Of the signatures; one that differs from the folder's is refused.

    Raises:
        StepError: The folder holds signatures of another scheme, or of a version whose hashes differ.
        NewerFormat: It was written by a newer version.
    """

    def __init__(self, folder: Path | str, scheme: Scheme) -> None:
        self.folder, self.scheme = Path(folder), scheme
        wanted = {
            "hashes": HASHES,
            "scheme": "affine32",
            "unicode": unicodedata.unidata_version,
            **{name: getattr(scheme, name) for name in ("ngram", "unit", "num_perm", "seed")},
        }
        path = self.folder / "index.json"
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder / ".lock"):
            if not path.exists():
                write_json(path, wanted)
        there = read_json(path)
        for name, value in wanted.items():
            if there.get(name) != value:
                raise StepError(
                    f"the index was made with {name} '{there.get(name)}', not '{value}'",
                    where=self.folder,
                    hint="Use the settings it was made with, or start a new folder",
                )

    def files(self) -> list[Path]:
        """Its parts, in the order in which they were added."""
        return sorted(self.folder.glob("kept-*.arrow"))

    def fingerprint(self) -> str:
        """Changes when something is added."""
        return digest(*(f"{file.name} {file.stat().st_size}" for file in self.files()))

    def __len__(self) -> int:
        return int(self.table().num_rows)

    def table(self) -> pa.Table:
        """All signatures with ``id`` and ``label``; mapped, so that memory holds none of them."""
        parts = [pa.ipc.open_file(pa.memory_map(str(file))).read_all() for file in self.files()]
        return pa.concat_tables(parts) if parts else _part([], [], [], self.scheme)

    def without(self, ids: Sequence[str]) -> pa.Table:
        """The same but for some ids: a row that comes again is no duplicate of itself."""
        table = self.table()
        here = pa.compute.is_in(table.column("id"), value_set=pa.array(ids, pa.string()))
        return table if not pa.compute.any(here).as_py() else table.filter(pa.compute.invert(here))

    def add(self, texts: Texts, ids: Sequence[str], labels: Sequence[str | None] | None = None) -> int:
        """Adds texts that were kept; ids that are there already are left as they are.

        Returns:
            How many were new.
        """
        with locked(self.folder / ".lock"):
            known = set(self.table().column("id").to_pylist())
            new = [number for number, name in enumerate(ids) if name not in known]
            if not new:
                return 0
            chosen = [texts[number] for number in new]
            values = [value.as_py() if isinstance(value, pa.Scalar) else value for value in chosen]
            part = _part(
                values, [ids[number] for number in new], [labels[n] if labels else None for n in new], self.scheme
            )
            number = int(self.files()[-1].stem.partition("-")[2]) + 1 if self.files() else 1
            with (
                atomic_file(self.folder / f"kept-{number:06d}.arrow") as temporary,
                pa.OSFile(str(temporary), "wb") as stream,
                pa.ipc.new_file(stream, part.schema) as writer,
            ):
                writer.write_table(part)
        return len(new)

    def labels(self, table: pa.Table, names: dict[str, int]) -> NDArray[np.int64]:
        """Label numbers of its rows; -1 for those without one or with one that is new to ``names``."""
        import numpy as np

        return np.array([names.get(label, -1) for label in table.column("label").to_pylist()], dtype=np.int64)


def _part(texts: list[Any], ids: list[str], labels: list[str | None], scheme: Scheme) -> pa.Table:
    made = signatures(texts, num_perm=scheme.num_perm, ngram=scheme.ngram, unit=scheme.unit, seed=scheme.seed)
    made = made.append_column("id", pa.array(ids, pa.string()))
    return made.append_column("label", pa.array(labels, pa.string())).combine_chunks()
