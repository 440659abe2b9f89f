import errno
import os
import random
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

import autorouter
from autorouter.errors import ReceiptError
from autorouter.receipts import reader
from autorouter.receipts.chain import digest

NOON = 1_782_907_200.0  # 2026-07-01T12:00:00Z
DAY_S = 86_400.0
POLICY = {"dial": 0.5, "catalogue": ["a", "b"]}
POLICY_DIGEST = digest(POLICY)
CHECKOUT = Path(autorouter.__file__).parent.parent


class Clock:
    def __init__(self, now: float = NOON) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def open_writer(tmp_path, clock):
    """Opens writers on `tmp_path / "r"`; what a test leaves open is closed after it."""
    opened = []

    def open_one(directory=tmp_path / "r", **options):
        opened.append(reader.ReceiptWriter(directory, clock=clock, **{"flush_s": 0.001, **options}))
        return opened[-1]

    yield open_one
    for writer in opened:
        writer.close()


def receipt(number, **more):
    return lambda: {"id": f"r-{number:04}", "score": number / 7, "note": f"n{number}", **more}


def fill(writer, numbers, **more):
    for number in numbers:
        writer.put(receipt(number, **more))
    assert writer.flush(60)


def all_records(directory):
    return [record for path in reader.segment_files(directory) for _, record, _ in reader.read_records(path)]


def types(directory):
    return [record["type"] for record in all_records(directory)]


def ids(records):
    return [record["id"] for record in records if "id" in record]


# ── writing ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_receipts_are_chained_in_the_order_they_were_put(tmp_path, open_writer):
    writer = open_writer()
    fill(writer, range(3))
    [path] = reader.segment_files(tmp_path / "r")
    lines = list(reader.read_records(path))
    assert path.name == "2026-07-01.jsonl"
    assert [(n, record["seq"], record["id"]) for n, record, _ in lines] == [
        (1, 0, "r-0000"),
        (2, 1, "r-0001"),
        (3, 2, "r-0002"),
    ]
    assert lines[0][1]["prev"] == reader.GENESIS
    assert lines[1][1]["prev"] == digest(lines[0][2])
    assert lines[1][1]["score"] == 1 / 7
    assert (writer.seq, writer.last_digest) == (3, digest(lines[2][2]))
    assert reader.verify_directory(tmp_path / "r") == []


def test_directory_and_files_are_for_their_owner_only(tmp_path, open_writer):
    fill(open_writer(), range(1))
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "r").iterdir()}
    assert stat.S_IMODE((tmp_path / "r").stat().st_mode) == 0o700
    assert modes == {"2026-07-01.jsonl": 0o600, ".head": 0o600, ".lock": 0o600}


def test_many_threads_can_put_at_once(tmp_path, open_writer):
    writer = open_writer()
    threads = [
        threading.Thread(target=lambda k=k: [writer.put(receipt(k * 100 + i)) for i in range(100)]) for k in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert writer.flush(60)
    assert sorted(ids(all_records(tmp_path / "r"))) == [f"r-{n:04}" for n in range(800)]
    assert reader.verify_directory(tmp_path / "r") == []


def test_close_writes_what_is_pending_and_may_be_called_again(tmp_path, open_writer):
    writer = open_writer(flush_s=3600)
    for number in range(600):
        writer.put(receipt(number))
    writer.close()
    writer.close()
    assert len(all_records(tmp_path / "r")) == 600
    assert writer.flush()
    writer.put(receipt(601))
    assert writer.dropped == 1


def test_close_from_atexit_loses_nothing(tmp_path):
    script = """
        import atexit, sys, time
        from pathlib import Path
        from autorouter.receipts.reader import ReceiptWriter
        writer = ReceiptWriter(Path(sys.argv[1]), clock=time.time, flush_s=3600)
        atexit.register(writer.close)
        for number in range(50):
            writer.put(lambda: {"id": str(number)})
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script), str(tmp_path)], cwd=CHECKOUT, check=True, timeout=60)
    assert len(all_records(tmp_path)) == 50


def test_close_waits_for_the_builder_that_is_at_work(tmp_path, open_writer):
    writer, inside = open_writer(), threading.Event()

    def slow():
        inside.set()
        time.sleep(0.2)
        return {"id": "slow"}

    writer.put(slow)
    assert inside.wait(60)
    writer.close()
    assert ids(all_records(tmp_path / "r")) == ["slow"]


def test_a_builder_that_fails_is_said_without_its_values_and_the_next_is_written(tmp_path, open_writer):
    writer = open_writer()

    def fails():
        raise KeyError("a secret prompt")

    for build in (fails, lambda: {"x": object()}, lambda: {"seq": 7}, lambda: ["no object"], receipt(1)):
        writer.put(build)
    assert writer.flush(60)
    records = all_records(tmp_path / "r")
    assert [record["type"] for record in records] == ["lost"] * 4 + ["receipt"]
    assert records[0]["reason"].startswith("KeyError at test_reader.py:")
    assert "canonical JSON" in records[1]["reason"]
    assert "secret" not in str(records)
    assert reader.verify_directory(tmp_path / "r") == []


def test_records_beyond_a_full_queue_are_counted_and_reported(tmp_path, open_writer, monkeypatch):
    monkeypatch.setattr("autorouter.receipts.writer.MAX_PENDING", 3)
    writer = open_writer()
    inside, go_on = threading.Event(), threading.Event()

    def blocks():
        inside.set()
        go_on.wait(60)
        return {"id": "first"}

    writer.put(blocks)
    assert inside.wait(60)
    for number in range(5):
        writer.put(receipt(number))
    assert writer.dropped == 2
    go_on.set()
    assert writer.flush(60)
    records = all_records(tmp_path / "r")
    assert [record["type"] for record in records] == ["receipt", "lost", "receipt", "receipt", "receipt"]
    assert records[1]["count"] == 2


def test_a_full_disk_leaves_no_half_line_and_is_said_later(tmp_path, open_writer, monkeypatch):
    writer = open_writer()
    fill(writer, range(2))
    real = os.write

    def half(fd, data):
        if len(data) < 200:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, data[:100])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", half)
        fill(writer, range(2, 4))
    assert (writer.dropped, writer.problem) == (2, "No space left on device")
    fill(writer, range(4, 6))
    assert types(tmp_path / "r") == ["receipt", "receipt", "lost", "receipt", "receipt"]
    assert all_records(tmp_path / "r")[2]["count"] == 2
    assert reader.verify_directory(tmp_path / "r") == []


def test_only_one_writer_per_directory(tmp_path, open_writer):
    first = open_writer()
    with pytest.raises(ReceiptError, match=r"another autorouter.*\[receipts\]\.dir"):
        open_writer()
    first.close()
    open_writer()


def test_a_place_that_cannot_be_a_directory_is_a_receipt_error(tmp_path, open_writer):
    (tmp_path / "file").write_text("")
    with pytest.raises(ReceiptError, match="can't be written"):
        open_writer(tmp_path / "file" / "r")


# ── contexts and days ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_context_stands_once_per_file_before_its_first_receipt(tmp_path, open_writer, clock):
    writer = open_writer()
    writer.register_context(POLICY_DIGEST, POLICY)
    fill(writer, range(1))
    fill(writer, range(1, 3), context=POLICY_DIGEST)
    clock.now += DAY_S
    fill(writer, range(3, 5), context=POLICY_DIGEST)
    writer.close()
    writer = open_writer()  # on the same day: the file has it already
    writer.register_context(POLICY_DIGEST, POLICY)
    fill(writer, range(5, 6), context=POLICY_DIGEST)
    first, second = reader.segment_files(tmp_path / "r")
    assert [record["type"] for _, record, _ in reader.read_records(first)] == [
        "receipt",
        "context",
        "receipt",
        "receipt",
    ]
    assert [record["type"] for _, record, _ in reader.read_records(second)] == [
        "context",
        "receipt",
        "receipt",
        "receipt",
    ]
    assert reader.read_context(tmp_path / "r", POLICY_DIGEST) == POLICY
    assert reader.read_context(first, POLICY_DIGEST) == POLICY
    with pytest.raises(ReceiptError, match="no context"):
        reader.read_context(tmp_path / "r", reader.GENESIS)


def test_a_context_under_another_digest_is_refused(open_writer):
    with pytest.raises(ReceiptError, match="isn't the digest"):
        open_writer().register_context(reader.GENESIS, POLICY)


def test_only_the_contexts_given_last_are_kept(tmp_path, open_writer):
    writer = open_writer()
    contexts = [{"version": version} for version in range(17)]
    for context in [*contexts[:16], contexts[0], contexts[16]]:
        writer.register_context(digest(context), context)
    for number, context in enumerate(contexts):
        fill(writer, [number], context=digest(context))
    kept = [record["record"]["version"] for record in all_records(tmp_path / "r") if record["type"] == "context"]
    assert kept == [0, *range(2, 17)]
    assert len(reader.latest_receipts(tmp_path / "r", 100)) == 17


def test_the_chain_goes_on_over_days_and_restarts(tmp_path, open_writer, clock):
    writer = open_writer()
    fill(writer, range(2))
    clock.now += DAY_S
    fill(writer, range(2, 4))
    writer.close()
    clock.now += 3 * DAY_S
    fill(open_writer(), range(4, 5))
    paths = reader.segment_files(tmp_path / "r")
    assert [path.name for path in paths] == ["2026-07-01.jsonl", "2026-07-02.jsonl", "2026-07-05.jsonl"]
    assert [record["seq"] for record in all_records(tmp_path / "r")] == [0, 1, 0, 1, 0]
    assert reader.verify_directory(tmp_path / "r") == []


def test_a_clock_that_goes_back_stays_on_the_newest_page(tmp_path, open_writer, clock):
    writer = open_writer()
    fill(writer, range(1))
    clock.now -= DAY_S
    fill(writer, range(1, 2))
    writer.close()
    fill(open_writer(), range(2, 3))
    assert [path.name for path in reader.segment_files(tmp_path / "r")] == ["2026-07-01.jsonl"]
    assert reader.verify_directory(tmp_path / "r") == []


def test_days_may_be_deleted_from_the_old_end_but_not_from_the_middle(tmp_path, open_writer, clock):
    writer = open_writer()
    for day in range(4):
        clock.now = NOON + day * DAY_S
        fill(writer, [day])
    paths = reader.segment_files(tmp_path / "r")
    paths[0].unlink()
    assert reader.verify_directory(tmp_path / "r") == []
    paths[2].unlink()
    [problem] = reader.verify_directory(tmp_path / "r")
    assert (problem.file, problem.line) == (paths[3], 1)
    paths[3].unlink()
    [problem] = reader.verify_directory(tmp_path / "r")
    assert (problem.file, problem.reason) == (paths[3], "the newest file is missing")


# ── what a killed process leaves ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("days_later", [0, 1])
def test_a_torn_last_line_is_moved_aside_and_said(tmp_path, open_writer, clock, days_later):
    writer = open_writer()
    writer.register_context(POLICY_DIGEST, POLICY)
    fill(writer, range(3), context=POLICY_DIGEST)
    writer.close()
    [path] = reader.segment_files(tmp_path / "r")
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"attempts":[{"mod')
    assert [(p.line, p.reason) for p in reader.verify_chain(path)] == [(5, "the line is cut off after 18 bytes")]
    clock.now += days_later * DAY_S
    writer = open_writer()
    fill(writer, range(3, 4))
    records = all_records(tmp_path / "r")
    assert path.read_bytes().startswith(whole)
    assert path.with_suffix(".torn-1").read_bytes() == b'{"attempts":[{"mod'
    assert [record["type"] for record in records] == ["context"] + ["receipt"] * 3 + ["recovered", "receipt"]
    assert (records[4]["torn_bytes"], records[4]["torn_file"], records[4]["missing_lines"]) == (
        18,
        "2026-07-01.torn-1",
        0,
    )
    assert reader.verify_directory(tmp_path / "r") == []


def test_a_second_torn_line_does_not_overwrite_the_first(tmp_path, open_writer):
    for tail in (b"one", b"two\x00\n\x00"):
        open_writer().close()
        with (tmp_path / "r" / "2026-07-01.jsonl").open("ab") as file:
            file.write(tail)
    fill(open_writer(), range(1))
    assert (tmp_path / "r" / "2026-07-01.torn-1").read_bytes() == b"one"
    assert (tmp_path / "r" / "2026-07-01.torn-2").read_bytes() == b"two\x00\n\x00"
    assert types(tmp_path / "r") == ["recovered", "recovered", "receipt"]
    assert reader.verify_directory(tmp_path / "r") == []


def test_lines_that_a_power_cut_took_are_said_at_the_next_start(tmp_path, open_writer):
    writer = open_writer()
    fill(writer, range(5))
    writer.close()
    [path] = reader.segment_files(tmp_path / "r")
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:3]))
    fill(open_writer(), range(5, 6))
    said = all_records(tmp_path / "r")[3]
    assert (said["type"], said["missing_lines"], said["torn_bytes"]) == ("recovered", 2, 0)
    assert reader.verify_directory(tmp_path / "r") == []


def test_a_process_killed_under_load_leaves_a_chain_that_goes_on(tmp_path, open_writer, clock):
    script = """
        import sys
        from pathlib import Path
        from autorouter.receipts.reader import ReceiptWriter
        writer = ReceiptWriter(Path(sys.argv[1]), clock=lambda: float(sys.argv[2]), flush_s=0.0)
        number = 0
        while True:
            for _ in range(50):
                writer.put(lambda n=number: {"id": f"r-{n}", "note": "x" * 20_000})
                number += 1
            writer.flush(60)
            print(number, flush=True)
    """
    directory = tmp_path / "r"
    for _ in range(3):
        command = [sys.executable, "-c", textwrap.dedent(script), str(directory), str(NOON)]
        with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as process:
            flushed = [int(process.stdout.readline()) for _ in range(4)][-1]
            os.kill(process.pid, signal.SIGKILL)
        before = len(ids(all_records(directory)))
        assert before >= flushed  # what flush promised is there
        fill(writer := open_writer(), range(1))
        writer.close()
        assert len(ids(all_records(directory))) == before + 1
        assert reader.verify_directory(directory) == []


# ── tampering ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def thousand(tmp_path_factory):
    """The lines, with their newlines, of a file of 1,000 receipts, and its head."""
    directory = tmp_path_factory.mktemp("thousand")
    writer = reader.ReceiptWriter(directory, clock=Clock(), flush_s=0.001)
    fill(writer, range(1000))
    writer.close()
    [path] = reader.segment_files(directory)
    return path.read_bytes().splitlines(keepends=True), (directory / ".head").read_bytes()


@pytest.fixture
def verify(tmp_path, thousand):
    """Writes a changed file (and the head as it was) and gives the problems' lines."""

    def check(lines, head=thousand[1]):
        path = tmp_path / "2026-07-01.jsonl"
        path.write_bytes(b"".join(lines))
        if head:
            (tmp_path / ".head").write_bytes(head)
        problems = reader.verify_chain(path)
        assert reader.verify_directory(tmp_path) == problems
        return [problem.line for problem in problems]

    return check


def test_an_untouched_file_has_no_problem(verify, thousand):
    assert verify(thousand[0]) == []


@pytest.mark.parametrize("seed", range(25))
def test_one_changed_byte_names_its_line(verify, thousand, seed):
    rng = random.Random(seed)
    lines = list(thousand[0])
    at = 999 if seed == 0 else rng.randrange(1000)
    line = bytearray(lines[at])
    where = len(line) - 1 if seed == 1 else rng.randrange(len(line))
    line[where] = (line[where] + rng.randrange(1, 256)) % 256
    lines[at] = bytes(line)
    found = verify(lines)
    assert found[0] == at + 1
    assert found[1:] in ([], [at + 2])  # a new newline makes two bad lines of one


def test_every_byte_of_a_last_line_counts_even_without_the_head(verify, thousand):
    only = thousand[0][0]
    for where in range(len(only)):
        changed = only[:where] + bytes([only[where] ^ 1]) + only[where + 1 :]
        assert verify([changed], head=None) == [1]


@pytest.mark.parametrize("seed", range(10))
def test_a_removed_line_names_the_line_that_stands_there_now(verify, thousand, seed):
    at = [0, 998][seed] if seed < 2 else random.Random(seed).randrange(999)
    assert verify(thousand[0][:at] + thousand[0][at + 1 :]) == [at + 1]


@pytest.mark.parametrize("kept", [999, 990, 1])
def test_whole_lines_cut_off_the_end_are_missed(verify, thousand, kept):
    assert verify(thousand[0][:kept]) == [kept]


def test_a_tail_cut_in_mid_line_names_that_line(verify, thousand):
    assert verify([*thousand[0][:500], thousand[0][500][:40]]) == [501]


@pytest.mark.parametrize("seed", range(10))
def test_two_swapped_lines_are_the_two_that_are_named(verify, thousand, seed):
    lines = list(thousand[0])
    low, high = (998, 999) if seed == 0 else sorted(random.Random(seed).sample(range(1000), 2))
    lines[low], lines[high] = lines[high], lines[low]
    assert verify(lines) == [low + 1, high + 1]


def test_a_repeated_line_is_named(verify, thousand, tmp_path):
    assert verify([*thousand[0][:10], thousand[0][9], *thousand[0][10:]]) == [11]
    [problem] = reader.verify_chain(tmp_path / "2026-07-01.jsonl")
    assert problem.reason == "seq 9 is there twice"


@pytest.mark.parametrize("change", [lambda line: line.replace(b":", b": ", 1), lambda line: b" " + line])
def test_a_record_that_only_looks_different_is_a_changed_line(verify, thousand, change):
    assert verify([change(thousand[0][0])], head=None) == [1]


def test_a_line_that_was_replaced_with_a_right_sum_breaks_the_next_link(verify, thousand, tmp_path):
    forged = reader.ReceiptWriter(tmp_path / "forged", clock=Clock(), flush_s=0.001)
    fill(forged, [7])
    forged.close()
    [line] = reader.segment_files(tmp_path / "forged")[0].read_bytes().splitlines(keepends=True)
    assert verify([line, *thousand[0][1:]]) == [2]
    assert verify([line], head=thousand[1].replace(b'"seq":999', b'"seq":0  ')) == [1]


def test_verification_believes_or_demands_the_link_to_the_file_before(verify, thousand, tmp_path):
    verify(thousand[0])
    path = tmp_path / "2026-07-01.jsonl"
    assert reader.verify_chain(path, reader.GENESIS) == []
    [problem] = reader.verify_chain(path, digest(b"another line"))
    assert str(problem).startswith("2026-07-01.jsonl:1: the line doesn't follow")


def test_a_line_cut_off_an_earlier_day_is_missed_by_the_next(tmp_path, open_writer, clock):
    writer = open_writer()
    fill(writer, range(3))
    clock.now += DAY_S
    fill(writer, range(3, 6))
    first, second = reader.segment_files(tmp_path / "r")
    first.write_bytes(b"".join(first.read_bytes().splitlines(keepends=True)[:2]))
    [problem] = reader.verify_directory(tmp_path / "r")
    assert (problem.file, problem.line) == (second, 1)


# ── reading ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def three_days(tmp_path, open_writer, clock):
    writer = open_writer()
    for day in range(3):
        clock.now = NOON + day * DAY_S
        fill(writer, range(day * 10, day * 10 + 10))
    return tmp_path / "r"


def test_latest_gives_the_newest_first_over_days(three_days):
    assert ids(reader.latest_receipts(three_days, 12)) == [f"r-{n:04}" for n in range(29, 17, -1)]
    assert len(reader.latest_receipts(three_days, 100)) == 30
    assert reader.latest_receipts(three_days, 0) == []


def test_find_takes_an_id_or_a_prefix_that_only_one_has(three_days):
    assert reader.find_receipt(three_days, "r-0003")["score"] == 3 / 7
    assert reader.find_receipt(three_days, "r-0029")["seq"] == 9
    with pytest.raises(ReceiptError, match=r"10 receipts start with 'r-001': r-0010, .* …"):
        reader.find_receipt(three_days, "r-001")


def test_a_whole_id_is_found_although_longer_ones_start_so(tmp_path, open_writer):
    writer = open_writer()
    for receipt_id in ("ab", "abc", "b"):
        writer.put(lambda receipt_id=receipt_id: {"id": receipt_id, "attempts": [{"id": "nested"}]})
    writer.flush(60)
    assert reader.find_receipt(tmp_path / "r", "ab")["id"] == "ab"
    assert reader.find_receipt(tmp_path / "r", "abc")["id"] == "abc"
    with pytest.raises(ReceiptError, match="no receipt 'nested'"):
        reader.find_receipt(tmp_path / "r", "nested")


def test_an_id_that_is_not_there_gives_the_nearest(three_days, tmp_path):
    with pytest.raises(ReceiptError, match=r"no receipt 'r-0039' \(near: r-00"):
        reader.find_receipt(three_days, "r-0039")
    with pytest.raises(ReceiptError, match="holds no receipts"):
        reader.find_receipt(tmp_path / "nowhere", "r-1")


def test_one_damaged_line_does_not_hide_the_others(three_days):
    path = reader.segment_files(three_days)[-1]
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:4], b"damaged\n", *lines[5:], b'{"torn']))
    assert len(reader.latest_receipts(three_days, 100)) == 29
    assert reader.find_receipt(three_days, "r-0025")["seq"] == 5
    with pytest.raises(ReceiptError, match=r"2026-07-03\.jsonl:5 isn't a record"):
        list(reader.read_records(path))


def test_a_file_that_is_not_there_is_a_receipt_error(tmp_path):
    with pytest.raises(ReceiptError, match="can't be read"):
        reader.verify_chain(tmp_path / "2026-07-01.jsonl")
