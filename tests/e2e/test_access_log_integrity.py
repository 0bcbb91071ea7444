"""The access log as evidence: killed at any moment, on a full disk, changed by others; what clients got is in it, and changes are found.

PGVEIL_KILL_RUNS: how often pgveil is killed (12 in an ordinary run). A long run, 250 kills of each durability on a debug build of
fec9776: with fsync 45,750 executions were seen by clients and 46,167 were in the log (80,560 records in 45 files), with write
89,048 and 89,189 (152,885 records in 85 files); nothing was shown that was not logged, and the log was whole after each. In none of
them was a line cut off in the middle: a write is short, and a signal comes before or behind it. Halves of lines are made by the
unit tests of `log_sink`. A killed process loses nothing that the system has: for a loss of power see test_access_log_faults.py.
"""

import itertools
import os
import random
import shutil
import signal
import subprocess
import time

import pytest

from harness.evidence import (
    NOT_WHOLE,
    POLICY,
    UNATTESTED,
    UNFINISHED,
    UNREADABLE,
    WHOLE,
    Masked,
    Reader,
    command,
    connected,
    lines,
    reveals,
    verify,
    whole,
)
from harness.pgveil import Pgveil, binary
from harness.wire import Closed, Raw, query, startup

pytestmark = pytest.mark.proxy

KILL_RUNS = int(os.environ.get("PGVEIL_KILL_RUNS", "12"))


@pytest.mark.timeout(180 + 10 * KILL_RUNS)
@pytest.mark.parametrize("durability", ["fsync", "write"])
def test_killed_at_any_moment_what_clients_got_is_in_a_log_that_verifies(signed, durability):
    target = signed(durability=durability, segment_mib=1, checkpoint_seconds=1)
    chance, received, kept = random.Random(2026), 0, 0
    for turn in range(KILL_RUNS):
        before = len(lines(target))
        readers = [Reader(target, turn * 100 + number) for number in range(5)]
        masked = Masked(target)
        for one in [*readers, masked]:
            one.start()
        time.sleep(chance.uniform(0.02, 0.9))
        target.process.send_signal(signal.SIGKILL)
        target.process.wait(10)
        for one in [*readers, masked]:
            one.join(20)
        code, said = verify(target)
        assert code in (UNFINISHED, WHOLE), said
        target.start()
        events = reveals(target, before)
        for reader in readers:
            logged = events.get(reader.port, [])
            assert reader.got == logged[:len(reader.got)], f"run {turn}: more was shown than is logged"
            received += len(reader.got)
            kept += len(logged)
        whole(target)
    target.stop()
    said = whole(target)
    print(f"{durability}: {KILL_RUNS} runs, {received} executions seen by clients, {kept} logged\n{said}")
    assert received > KILL_RUNS
    # A run that is killed between two segments leaves nothing to recover.
    assert KILL_RUNS - max(3, KILL_RUNS // 20) <= said.count("had not ended cleanly") <= KILL_RUNS


def changed(target: Pgveil, change) -> tuple[int, str]:
    """What `verify` says after a change of the file; it is taken back."""
    original = target.access_log.read_bytes()
    change(target.access_log)
    said = verify(target)
    target.access_log.write_bytes(original)
    return said


def test_a_change_is_found_and_the_record_is_named(signed):
    target = signed()
    client = connected(target, "bella")
    for _ in range(5):
        client.rows("SELECT email FROM person WHERE id = 1")
    client.close()
    whole(target)
    target.stop()
    assert "ended cleanly" in whole(target)
    code, said = command(target, "verify").returncode, command(target, "verify").stdout
    assert code == WHOLE, said

    def edit(number: int, old: bytes, new: bytes):
        def change(path):
            rows = path.read_bytes().splitlines(keepends=True)
            assert old in rows[number - 1]
            rows[number - 1] = rows[number - 1].replace(old, new)
            path.write_bytes(b"".join(rows))
        return change

    revealed = next(number for number, line in enumerate(lines(target), 1) if b'"kind":"reveal"' in line)
    where = f"{target.access_log}:{revealed}: record {revealed}: "
    code, said = changed(target, edit(revealed, b'"bella"', b'"betty"'))
    assert code == NOT_WHOLE and f"{where}the record was altered" in said, said
    code, said = changed(target, lambda path: path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1])))
    assert code == UNFINISHED, said
    code, said = changed(target, lambda path: path.write_bytes(path.read_bytes() + b"{}\n"))
    assert code == NOT_WHOLE, said
    code, said = changed(target, lambda path: path.unlink())
    assert code == NOT_WHOLE and "there is no log" in said, said
    (target.base / "public-key").write_text("nothing", encoding="utf-8")
    assert verify(target)[0] == UNREADABLE


def test_a_checkpoint_kept_outside_finds_a_log_that_was_cut_or_made_anew(signed):
    target = signed(checkpoint_seconds=1)
    client = connected(target, "bella")
    client.rows("SELECT email FROM person WHERE id = 1")
    time.sleep(1.5)
    kept = target.base / "kept"
    kept.write_text(command(target, "checkpoint").stdout, encoding="utf-8")
    client.rows("SELECT email FROM person WHERE id = 1")
    client.close()
    target.stop()
    whole(target, "--against", str(kept))
    rows = lines(target)
    # A thief of the key, who cuts the log and has pgveil go on.
    target.access_log.write_bytes(b"".join(rows[:3]))
    target.start()
    target.stop()
    whole(target)
    code, said = verify(target, "--against", str(kept))
    assert code == NOT_WHOLE, said
    assert "kept outside" in said


def test_a_key_is_changed_while_pgveil_runs(signed):
    target = signed()
    client = connected(target, "bella")
    client.rows("SELECT email FROM person WHERE id = 1")
    assert command(target, "rotate-key").returncode == 0
    target.reload()
    deadline = time.monotonic() + 5
    while b'"kind":"key"' not in target.access_log.read_bytes() and time.monotonic() < deadline:
        time.sleep(0.05)
    client.rows("SELECT email FROM person WHERE id = 1")
    client.close()
    target.stop()
    assert b'"kind":"key"' in target.access_log.read_bytes()
    whole(target)


def test_without_a_key_the_log_is_in_itself_whole_and_nobody_vouches_for_it(own_front):
    target = own_front("people.yaml")
    code, said = verify(target)
    assert (code, "not signed" in said) == (UNATTESTED, True), said


def test_a_second_process_does_not_write_the_same_log(pg, own_front):
    first = own_front("people.yaml")
    second = Pgveil(pg, POLICY, {"access_log": {"path": first.access_log}}, "people")
    with pytest.raises(RuntimeError, match="in use by another process"):
        second.start()
    second.remove()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MiB."""
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr}")
    yield tmp_path
    subprocess.run(["umount", "-l", tmp_path], check=True)


def test_on_a_full_disk_nothing_is_revealed_and_masked_traffic_goes_on(signed, small_disk):
    target = signed(path=small_disk / "access.jsonl", durability="fsync", checkpoint_seconds=1)
    bella, sam = connected(target, "bella"), connected(target, "sam")
    asked, shown, errors, ended = "SELECT email FROM person WHERE id = 1", 0, [], 0
    for _ in range(10_000):
        try:
            bella.frames.clear()
            got = bella.ask(query(asked))
        except (Closed, OSError):
            # What was on its way when the disk became full ends its session; nothing of it has left.
            got, bella, ended = bella.frames, connected(target, "bella"), ended + 1
        if any(one.tag == "D" for one in got):
            shown += 1
            continue
        errors.append(next(one.fields() for one in got if one.tag == "E"))
        if len(errors) == 20:
            break
    assert shown > 500 and len(errors) == 20 and ended <= 2, (shown, ended, errors)
    assert {error["C"] for error in errors} <= {"58030", "42501"}, errors
    assert all("access log can not be written" in error["M"] for error in errors), errors
    # Other sessions go on.
    assert sam.rows(asked) == [[b"j###@#######.###"]]
    assert bella.rows("SELECT body FROM note WHERE id = 1") == [[b"nothing personal"]]
    time.sleep(2.5)
    # Checkpoints still find room.
    assert "being written" in whole(target)
    assert len([line for line in lines(target) if b'"kind":"reveal"' in line]) >= shown
    # Nothing is deleted to make room: the file system grows.
    subprocess.run(["mount", "-o", "remount,size=4m", small_disk], check=True)
    deadline = time.monotonic() + 10
    while target.metric("pgveil_access_log_ready") == 0 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert bella.rows(asked) == [[b"jane@example.com"]]
    target.stop()
    said = whole(target)
    assert "nothing could be written" in said


@pytest.mark.parametrize("known", [False, True], ids=["nothing there", "state there"])
def test_on_a_full_disk_it_starts_and_masked_traffic_goes_on(signed, small_disk, known):
    target = signed(path=small_disk / "access.jsonl")
    locking = [str(binary()), "guard", "lock", "carl", "--config", str(target.config)]
    if known:
        assert subprocess.run(locking, capture_output=True, timeout=30, check=False).returncode == 0
    target.stop()
    if not known:
        for left in small_disk.iterdir():
            left.unlink()
    ballast = small_disk / "ballast"
    with pytest.raises(OSError, match="No space left"), open(ballast, "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    target.start(ready=(503,))
    sam, bella = connected(target, "sam"), connected(target, "bella")
    assert sam.rows("SELECT email FROM person WHERE id = 1") == [[b"j###@#######.###"]]
    (error,) = [one.fields() for one in bella.ask(query("SELECT email FROM person WHERE id = 1")) if one.tag == "E"]
    assert error["C"] == "58030" and "access log can not be written" in error["M"], error
    if known:
        with pytest.raises((Closed, AssertionError)):
            connected(target, "carl")
        assert "locked out" in str(Raw(target.host, target.port).ask(startup("carl", "people"), "E")[-1].fields()["M"])
    ballast.unlink()
    deadline = time.monotonic() + 10
    while target.metric("pgveil_access_log_ready") == 0 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert bella.rows("SELECT email FROM person WHERE id = 1") == [[b"jane@example.com"]]
    assert subprocess.run([*locking[:2], "list", *locking[4:]], capture_output=True, timeout=30, check=True).stdout.count(b"carl") == known


def test_closed_segments_are_read_only_history(signed):
    target = signed(segment_mib=1)
    clients = [connected(target, "bella") for _ in range(4)]
    for client, _ in itertools.product(clients, range(40)):
        client.ask(query("; ".join(["SELECT email, phone, full_name FROM person WHERE id = 1"] * 10)))
    closed = sorted(target.access_log.parent.glob("access.jsonl.0*"))
    assert closed, "4,800 records are more than 1 MiB"
    target.stop()
    whole(target)
    # Files under other names, given by name.
    elsewhere = target.base / "elsewhere"
    elsewhere.mkdir()
    files = [shutil.copy(path, elsewhere / f"copy{number}") for number, path in enumerate([*closed, target.access_log])]
    whole(target, *map(str, files))
    closed[0].unlink()
    code, said = verify(target)
    assert code == NOT_WHOLE and "are missing" in said, said
