"""Public benchmark sets in the formats in which they are published; the user brings the file.

    gsm8k       JSONL   {"question": "...", "answer": "...\\n#### 72"}
    humaneval   JSONL   {"task_id", "prompt", "entry_point", "test", …}, gzipped or not
    mmlu        CSV     question,A,B,C,D,letter                        (no header)
    gpqa        CSV     Question, Correct Answer, Incorrect Answer 1 .. 3 among other columns (a header)

Nothing of these sets comes with autorouter. GPQA's choices are put in an order drawn from the seed and the question.
"""

from __future__ import annotations

import csv
import gzip
import io
import random
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from autorouter.errors import RequestError
from autorouter.evals import jsonl
from autorouter.evals.cases import Case, check_cases
from autorouter.evals.extract import extract_number
from autorouter.evals.graders import ChoiceGrader, CodeGrader, NumericGrader

LETTERS = "ABCD"
ASK_NUMBER = "\n\nEnd with a line `#### N`, where N is the answer as a plain number."
ASK_LETTER = "\n\nEnd with a line `Answer: X`, where X is one of A, B, C and D."
ASK_CODE = "Complete this Python function. Answer with the whole function in one code block.\n\n"
MAX_UNPACKED_BYTES = 256 * 1024 * 1024


def gsm8k(data: bytes, name: str, seed: int) -> Iterator[Case]:
    """Grade-school arithmetic; the number behind `####` counts."""
    for number, (location, record) in enumerate(jsonl.read_objects(data, name)):
        solution = jsonl.text_member(record, "answer", location)
        answer = extract_number(solution.rpartition("####")[2])
        if "####" not in solution or answer is None:
            raise RequestError(f"{location}: `answer` has no number behind ####")
        prompt = jsonl.text_member(record, "question", location) + ASK_NUMBER
        yield Case(id=f"gsm8k-{number}", prompt=prompt, grader=NumericGrader(answer))


def humaneval(data: bytes, name: str, seed: int) -> Iterator[Case]:
    """Functions to complete, with unit tests that are run."""
    for location, record in jsonl.read_objects(data, name):
        before, entry = (
            jsonl.text_member(record, "prompt", location),
            jsonl.text_member(record, "entry_point", location),
        )
        tests = f"{jsonl.text_member(record, 'test', location)}\n\ncheck({entry})\n"
        prompt = f"{ASK_CODE}```python\n{before}```"
        yield Case(
            id=jsonl.text_member(record, "task_id", location), prompt=prompt, grader=CodeGrader(tests, before, entry)
        )


def mmlu(data: bytes, name: str, seed: int) -> Iterator[Case]:
    """Questions with four choices."""
    for number, row in enumerate(csv.reader(io.StringIO(_decoded(data, name))), start=1):
        if not row:
            continue
        if len(row) != 6 or row[5].strip() not in LETTERS or not row[5].strip():
            raise RequestError(f"{name}:{number} isn't question,A,B,C,D,letter")
        yield Case(id=f"mmlu-{number - 1}", prompt=_choices(row[0], row[1:5]), grader=ChoiceGrader(row[5].strip()))


def gpqa(data: bytes, name: str, seed: int) -> Iterator[Case]:
    """Hard questions; the right choice stands in a location drawn for each."""
    for number, row in enumerate(csv.DictReader(io.StringIO(_decoded(data, name))), start=2):
        right = _column(row, "Correct Answer", name, number)
        choices = [right, *(_column(row, f"Incorrect Answer {n}", name, number) for n in (1, 2, 3))]
        question = _column(row, "Question", name, number)
        order = random.Random(f"{seed}:{question}").sample(range(4), 4)  # noqa: S311  (an order, no secret)
        letter = LETTERS[order.index(0)]
        yield Case(
            id=f"gpqa-{number - 2}", prompt=_choices(question, [choices[n] for n in order]), grader=ChoiceGrader(letter)
        )


Loader = Callable[[bytes, str, int], Iterator[Case]]
LOADERS: Mapping[str, Loader] = {"gsm8k": gsm8k, "humaneval": humaneval, "mmlu": mmlu, "gpqa": gpqa}


def load_dataset(name: str, path: Path, seed: int) -> tuple[Case, ...]:
    """A set's cases. RequestError for a file that isn't of its format, and for a set that isn't known."""
    if name not in LOADERS:
        raise RequestError(f"`{name}` is no data set that is known here", hint=f"known: {', '.join(LOADERS)}")
    data = jsonl.read_file(path)
    if data[:2] == b"\x1f\x8b":
        try:
            with gzip.open(io.BytesIO(data)) as file:
                data = file.read(MAX_UNPACKED_BYTES + 1)
        except (OSError, EOFError, zlib.error) as exc:
            raise RequestError(f"{path} can't be unpacked: {exc}") from exc
        if len(data) > MAX_UNPACKED_BYTES:
            raise RequestError(f"{path} is too large when unpacked")
    return check_cases(list(LOADERS[name](data, path.name, seed)), path.name)


def _choices(question: str, choices: Sequence[str]) -> str:
    listed = "\n".join(f"{letter}. {choice.strip()}" for letter, choice in zip(LETTERS, choices, strict=True))
    return f"{question.strip()}\n\n{listed}{ASK_LETTER}"


def _column(row: Mapping[str, str | None], key: str, name: str, number: int) -> str:
    value = row.get(key)
    if not value or not value.strip():
        raise RequestError(f"{name}:{number} has no `{key}`")
    return value.strip()


def _decoded(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise RequestError(f"{name} isn't UTF-8 (byte {exc.start})") from exc
