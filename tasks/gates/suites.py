"""Judge frames of evidence with Great Expectations; besides `expectations/` the only module that knows it (M8).

Belongs here: loading a step's suites, running them, turning every result into an Outcome of plain data, the Data Docs.
Keep out: what is expected (`expectations/`), what follows from it (`verdict`), any database.

Great Expectations is imported when it is used: it costs seconds and a quarter of a gigabyte. Its traps, each met here: an
empty suite succeeds; an expectation may be dropped silently; an error looks like a failure; nulls are skipped; a warning
makes the whole fail; contexts are global to the process; int columns with a gap become floats.
"""

from __future__ import annotations

import importlib
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tasks.core.errors import Permanent
from tasks.core.shown import counted
from tasks.gates.evidence import Frame
from tasks.gates.sentences import number, sentence
from tasks.gates.verdict import MOST_ROWS, Outcome, Row

#: Great Expectations keeps its context per process: one validation at a time.
_LOCK = threading.Lock()
#: Pictures of Data Docs that only its tutorial shows; half of its size.
_UNUSED = ("*.gif", "iterative-dev-loop.png", "HKGrotesk-*")


@dataclass(eq=False)
class InvalidSuite(Permanent):
    """The suite {suite} cannot be trusted: {reason}. Correct expectations/{step}.py; nothing was judged."""

    suite: str
    step: str
    reason: str


def load_suites(step: str) -> Mapping[str, Any]:
    """Return the suites of `expectations/<step>.py` by frame; InvalidSuite where one is empty or lacks a note."""
    suites: Mapping[str, Any] = importlib.import_module(f"expectations.{step}").SUITES
    for name, suite in suites.items():
        require_sound(step, name, suite)
    return suites


def require_sound(step: str, name: str, suite: Any) -> None:
    """Raise InvalidSuite where a suite is empty, or an expectation says neither why nor how much it matters."""
    if not suite.expectations:
        raise InvalidSuite(name, step, "it is empty, and an empty suite succeeds")
    for expectation in suite.expectations:
        if not expectation.notes:
            raise InvalidSuite(name, step, f"{expectation.expectation_type} has no notes that say why")


def validate(
    step: str,
    frames: Mapping[str, Frame],
    parameters: Mapping[str, Any] | None = None,
    *,
    suites: Mapping[str, Any] | None = None,
    docs: Path | None = None,
) -> list[Outcome]:
    """Judge each frame by the suite of its name in `expectations/<step>.py`, or in `suites` where given.

    `parameters` are the values of the suites' $PARAMETERs. A frame without a suite or a suite without a frame is an error
    of its own. `docs` is a folder that gets the Data Docs, replaced whole. One validation at a time per process.
    Raises InvalidSuite.
    """
    chosen = suites if suites is not None else load_suites(step)
    with _LOCK:
        context = _context(docs)
        source = context.data_sources.add_pandas("evidence")
        outcomes = [
            outcome
            for name, suite in chosen.items()
            for outcome in _judge(_Job(context, source, step, name, suite, frames.get(name), parameters or {}))
        ]
        if docs is not None:
            context.build_data_docs(site_names=["gates"])
            _thin_out(docs)
    return outcomes


def _context(docs: Path | None) -> Any:
    """Return an ephemeral context for one validation: no progress bars, no temporary folder, Data Docs where they belong."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import DataContextConfig, InMemoryStoreBackendDefaults

    no_bars: Any = {"globally": False, "metric_calculations": False}
    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        progress_bars=no_bars,
        analytics_enabled=False,
    )
    context: Any = gx.get_context(mode="ephemeral", project_config=config)
    if docs is not None:
        shutil.rmtree(docs, ignore_errors=True)
        context.add_data_docs_site("gates", _site(docs))
    return context


def _site(folder: Path) -> dict[str, Any]:
    return {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder)},
    }


def _thin_out(folder: Path) -> None:
    for pattern in _UNUSED:
        for file in (folder / "static").rglob(pattern):
            file.unlink()


@dataclass(frozen=True)
class _Job:
    """One suite over one frame."""

    context: Any
    source: Any
    step: str
    name: str
    suite: Any
    frame: Frame | None
    parameters: Mapping[str, Any]


def _judge(job: _Job) -> list[Outcome]:
    if job.frame is None:
        return [Outcome(job.name, "its facts were collected", success=False, error="there is no such frame in the evidence")]
    try:
        results = _run(job, job.frame)
    except Exception as error:  # noqa: BLE001 (whatever the library raises: the gate errs, it never passes)
        return [Outcome(job.name, "its suite can be run", success=False, error=f"{type(error).__name__}: {error}")]
    if len(results) != len(job.suite.expectations):
        reason = f"{len(results)} of its {len(job.suite.expectations)} expectations were evaluated"
        raise InvalidSuite(job.suite.name, job.step, reason)
    return list(_outcomes(job.name, job.frame, results))


def _run(job: _Job, frame: Frame) -> Sequence[Any]:
    """Run one suite over one frame; every column has dtype object, so that nothing becomes a float."""
    import great_expectations as gx
    import pandas as pd

    name = f"{job.step}.{job.name}"
    data = pd.DataFrame(list(frame.rows), columns=list(frame.columns), dtype=object)
    batch = job.source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("whole")
    own = gx.ExpectationSuite(name=name, expectations=[e.copy(deep=True) for e in job.suite.expectations])
    definition = gx.ValidationDefinition(name=name, data=batch, suite=job.context.suites.add(own))
    result = job.context.validation_definitions.add(definition).run(
        batch_parameters={"dataframe": data}, expectation_parameters=dict(job.parameters), result_format="COMPLETE"
    )
    return list(result.results)


def _outcomes(name: str, frame: Frame, results: Sequence[Any]) -> Iterator[Outcome]:
    for result in results:
        config = result.expectation_config
        arguments = {key: value for key, value in config.kwargs.items() if key != "batch_id"}
        base = Outcome(
            frame=name,
            sentence=sentence(config.type, arguments),
            success=bool(result.success),
            severity=str(getattr(config.severity, "value", config.severity)),  # pyright: ignore[reportArgumentType]
            notes=str(config.notes or ""),
        )
        yield _with_result(base, frame, arguments, result)


def _with_result(base: Outcome, frame: Frame, arguments: Mapping[str, Any], result: Any) -> Outcome:
    error = raised(result.exception_info)
    if error is not None:
        return replace(base, success=False, error=error)
    found: Mapping[str, Any] = result.result or {}
    skipped = int(found.get("missing_count") or 0)
    if result.success and skipped and not base.sentence.endswith(("has a value", "is empty")):
        rows = _rows_without(frame, arguments)
        return replace(
            base, success=False, observed=f"{counted(skipped, 'row')} without a value", unexpected=skipped, rows=rows
        )
    if result.success:
        return base
    return _failed(base, frame, arguments, found)


def _failed(base: Outcome, frame: Frame, arguments: Mapping[str, Any], found: Mapping[str, Any]) -> Outcome:
    """Name the rows themselves: the indexes point into the frame, whose other columns say which rows they are."""
    places = list(found.get("unexpected_index_list") or [])
    if places:
        total = len(frame.rows)
        rows = tuple(_shown(frame.rows[place], arguments) for place in places[:MOST_ROWS])
        return replace(base, observed=f"{len(places):,} of {total:,} rows are not so", unexpected=len(places), rows=rows)
    observed = found.get("observed_value")
    if base.sentence == "there is no row":
        return replace(base, observed=f"there are {number(observed)}", unexpected=len(frame.rows), rows=frame.rows[:MOST_ROWS])
    return replace(base, observed=f"it is {number(observed)}")


def _shown(row: Row, arguments: Mapping[str, Any]) -> Row:
    """Leave out the answers to other questions: a row is named by its other columns."""
    asked = [arguments.get(name) for name in ("column", "column_A", "column_B")]
    return {column: value for column, value in row.items() if column in asked or not isinstance(value, bool)}


def _rows_without(frame: Frame, arguments: Mapping[str, Any]) -> tuple[Row, ...]:
    columns = [arguments[name] for name in ("column", "column_A", "column_B") if name in arguments]
    rows = [row for row in frame.rows if any(row.get(column) is None for column in columns)]
    return tuple(_shown(row, arguments) for row in rows[:MOST_ROWS])


def raised(info: Any) -> str | None:
    """Return the message of what was raised, in either of the library's two shapes; None where nothing was."""
    if not info:
        return None
    infos = [info] if "raised_exception" in info else list(info.values())
    messages = [
        str(one.get("exception_message") or "it was raised without a message") for one in infos if one.get("raised_exception")
    ]
    return messages[0] if messages else None
