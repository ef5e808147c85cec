"""Another program trains: it is given files and a command line, and what it leaves is checked and taken.

The command is started without a shell, in a folder of its own, in a process group that ends with the job. Its output
goes into a log beside the model, which is private and in which no value of a secret environment variable appears.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar, Literal, cast

from pydantic import BaseModel, Field, field_validator

from datakit.core.storage import write_text
from train.backends import BackendSettings, Job, Outcome
from train.backends.files import Files, write_files
from train.backends.redacted import redactor, secret_in
from train.backends.told import losses_told
from train.errors import TrainError

if TYPE_CHECKING:
    from train.config import Arm

__all__ = ["Command", "CommandSettings"]

_PLACES = ("config", "data", "model", "output")
_LAST_LINES = 3
_GRACE = 5.0  # seconds between asking a program to end and ending it


class CommandSettings(BackendSettings):
    """Settings of ``command``.

    Attributes:
        run: The command line, split as a shell would but given to none; ``{config}``, ``{data}``, ``{model}`` and
            ``{output}`` stand for the paths it is to read and write.
        format: What is written for it: ``tokens`` (token ids and labels, ours exactly), ``axolotl`` (the same with
            Axolotl's config), ``llamafactory`` (conversations, since LLaMA-Factory renders itself).
        config: Further keys of the config file, such as LLaMA-Factory's ``template``; they win over ours.
        timeout: Seconds after which the program is ended; none by default.
    """

    run: str = Field(min_length=1)
    format: Literal["tokens", "axolotl", "llamafactory"] = "tokens"
    config: dict[str, Any] = Field(default_factory=dict)
    timeout: float | None = Field(default=None, gt=0)

    @field_validator("run")
    @classmethod
    def _splits(cls, run: str) -> str:
        parts = shlex.split(run)
        if not parts:
            raise ValueError("the command is empty")
        for part in parts:
            try:
                part.format(**dict.fromkeys(_PLACES, ""))
            except (KeyError, IndexError, ValueError) as error:
                raise ValueError(f"'{part}': {{{'}, {'.join(_PLACES)}}} can stand in it; {{{{ is a brace") from error
        return run


class Command:
    """Writes data and config, starts the user's command, takes what it left."""

    Params: ClassVar[type[BaseModel]] = CommandSettings
    follows: ClassVar[frozenset[str] | None] = frozenset(
        {"learning_rate", "schedule", "warmup", "weight_decay", "clip", "precision"}
        | {"rank", "alpha", "dropout", "targets"}
    )
    loads: ClassVar[bool] = False

    def check(self, arm: Arm, settings: Any) -> str | None:
        """The config files know full fine-tuning and LoRA, of answers alone."""
        if arm.adapter not in ("full", "lora"):
            return f"adapter '{arm.adapter}' is not known to other programs; full and lora are"
        if arm.objective != "sft":
            return f"objective '{arm.objective}' is not written for other programs; sft is"
        if settings.format == "llamafactory" and "template" in settings.config and arm.replay is not None:
            return "replay mixes token rows; with a template of its own LLaMA-Factory reads conversations: leave it out"
        return None

    def train(self, job: Job, folder: Path) -> Outcome:
        """Runs the command and copies weights and configs from its output."""
        settings: CommandSettings = job.settings
        files = write_files(job, settings.format, settings.config)
        places = {name: str(getattr(files, name)) for name in _PLACES}
        line = [part.format(**places) for part in shlex.split(settings.run)]
        started = time.perf_counter()
        _run(line, files, job.log, settings.timeout)
        seconds = time.perf_counter() - started
        _take(files.output, folder, job.log)
        _stop_tokens(folder, job.ready.stop_tokens, job.log)
        return Outcome(max(seconds, 1e-6), history=losses_told(files.output))


def _run(line: list[str], files: Files, log: Path, timeout: float | None) -> None:
    """Starts a program and waits for it; its output goes into the log as it comes.

    Raises:
        TrainError: It does not start, fails, or takes too long.
    """
    redact = redactor(os.environ)
    log.unlink(missing_ok=True)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as writer:
        try:
            process = subprocess.Popen(
                line,
                cwd=files.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise TrainError(
                f"the command '{line[0]}' does not start ({error.strerror})", hint="Is it installed, and on the PATH?"
            ) from error

        pipe: IO[bytes] = cast("IO[bytes]", process.stdout)

        def copy() -> None:
            for raw in pipe:
                if writer.closed:
                    break
                with contextlib.suppress(OSError):  # a full disk: the program goes on, and is read on
                    writer.write(redact(raw.decode("utf-8", errors="replace")))
                    writer.flush()

        reader = threading.Thread(target=copy, daemon=True)
        reader.start()
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise TrainError(
                f"the command '{line[0]}' was not done after {timeout:g} s and was ended",
                where=log,
                hint="Raise the backend's timeout, or see its output in that file",
            ) from None
        finally:
            _end(process)
            reader.join(_GRACE)
            if not reader.is_alive():  # else a program that left its process group still holds the pipe
                pipe.close()
    if code:
        raise TrainError(
            f"the command '{line[0]}' failed with exit code {code}; it ended with: {_last_lines(log)}", where=log
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a program and all it started: asked first, then told."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except (ProcessLookupError, PermissionError):
            break
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            continue
        if number == signal.SIGTERM:
            time.sleep(0.05)  # children of a program that has ended get a moment for the same
    process.wait()


def _last_lines(log: Path) -> str:
    lines = [line for line in log.read_text(encoding="utf-8").splitlines() if line.strip()]
    return " | ".join(" ".join(line.split())[:300] for line in lines[-_LAST_LINES:]) or "nothing"


def _take(output: Path, folder: Path, log: Path) -> None:
    """Copies weights and configs; anything else a program leaves (optimizer states, pickles, code) stays behind."""
    found = sorted(path for path in output.iterdir() if path.is_file()) if output.is_dir() else []
    if not any(path.suffix == ".safetensors" for path in found):
        names = ", ".join(path.name for path in found[:8]) or "nothing"
        raise TrainError(
            f"the command ended well, but left no .safetensors weights in {{output}}; there is: {names}",
            where=log,
            hint="It has to write the final model or adapter there",
        )
    for path in found:
        if path.name in _TAKEN and (name := secret_in(path.read_text("utf-8", errors="replace"), os.environ)):
            raise TrainError(
                f"{path.name}, which the command wrote, holds the value of the environment variable {name}",
                where=log,
                hint="A model folder is passed on: keep the secret out of it",
            )
        if path.suffix == ".safetensors" or path.name in _TAKEN:
            shutil.copyfile(path, folder / path.name)


_TAKEN = ("config.json", "generation_config.json", "adapter_config.json", "model.safetensors.index.json")


def _stop_tokens(folder: Path, stops: list[int], log: Path) -> None:
    """A whole model stops at the trained end of turn, as after our own loop."""
    if not (folder / "config.json").is_file():
        return
    path = folder / "generation_config.json"
    try:
        own: dict[str, Any] = json.loads(path.read_bytes()) if path.is_file() else {}
        config: dict[str, Any] = json.loads((folder / "config.json").read_bytes())
        known = own.get("eos_token_id", config.get("eos_token_id"))
    except (ValueError, AttributeError) as error:
        raise TrainError(f"the config that was written is not readable ({error})", where=log) from error
    listed = known if isinstance(known, list) else [known]
    merged = list(dict.fromkeys(id for id in [*listed, *stops] if id is not None))
    own["eos_token_id"] = merged[0] if len(merged) == 1 else merged
    write_text(path, json.dumps(own, indent=1) + "\n")
