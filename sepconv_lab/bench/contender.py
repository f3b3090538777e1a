"""A worker process as the table sees it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from .timing import Ended


def fits(there: Sequence[Contender]) -> bool:
    """Whether the machine has memory for one more contender, as large as the largest, and half of it to spare."""
    largest = max((contender.memory for contender in there), default=0)
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        available = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
        return available * 1024 > 1.5 * largest
    return True


class Contender:
    """Starts the worker; `absent` says why it cannot take part, or is empty. Inside `with` it takes turns."""

    def __init__(self, name: str, command: Sequence[str], *, gpu: bool):
        self.name = name
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  open as long as the worker lives
        hidden = {} if gpu else {"CUDA_VISIBLE_DEVICES": ""}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True, env=os.environ | hidden
        )  # fmt: skip
        first = self._answer()
        self.absent: str = first.get("absent", "")
        self.versions: dict[str, str] = first.get("versions", {})

    def __enter__(self) -> Contender:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def turn(self) -> float:
        """Seconds of one step."""
        return float(self._ask("turn")["seconds"])

    def ask(self, what: str) -> Any:
        return self._ask(what)["result"]

    def _ask(self, line: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the worker has died; `_answer` says why
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        answer = self._answer()
        if "absent" in answer:
            raise Ended(self.name, answer["absent"])
        return answer

    @property
    def memory(self) -> int:
        """Bytes that its process holds, 0 where the system does not say."""
        with contextlib.suppress(OSError, ValueError):
            return int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return 0

    def _answer(self) -> dict[str, Any]:
        """The next answer; a worker that died is absent for the last line that it wrote."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        code = self._process.wait()
        if code == -signal.SIGKILL:  # from the kernel, which was out of memory
            return {"absent": "killed (memory)"}
        self._errors.seek(0)
        said = [text for text in self._errors.read().splitlines() if text.strip()]
        return {"absent": said[-1].strip() if said else f"ended with {code}"}
