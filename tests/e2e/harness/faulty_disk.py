"""A disk that fails, fills up, waits or loses its power, under one file of a process: see faulty_disk.c."""

import contextlib
import os
import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")


class FaultyDisk:
    """Orders to the disk under `file`, for what is started within `under()`. `place`: a directory of its own."""

    def __init__(self, place: Path, file: Path):
        self.place, self.file = place, file
        self.library = place / "faulty_disk.so"
        subprocess.run(["cc", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", self.library, SOURCE, "-ldl"], check=True)
        (place / "file").write_text(str(file.resolve()), encoding="utf-8")
        self.order("ok")

    def order(self, what: str) -> None:
        """Of faulty_disk.c; in force from the next call to the disk on."""
        new = self.place / "orders.new"
        new.write_text(what + "\n", encoding="ascii")
        new.rename(self.place / "orders")

    @contextlib.contextmanager
    def under(self):
        """What is started now has this disk."""
        os.environ.update(LD_PRELOAD=str(self.library), FAULTY_DISK=str(self.place))
        try:
            yield
        finally:
            del os.environ["LD_PRELOAD"], os.environ["FAULTY_DISK"]

    def lose_power(self) -> int:
        """After the process has ended: cut off the file what no sync has covered; how many bytes these were."""
        inode, length = struct.unpack("=QQ", (self.place / "synced").read_bytes())
        state = self.file.stat()
        assert state.st_ino == inode, "the file is another than the one that was synced"
        os.truncate(self.file, length)
        return state.st_size - length
