# SPDX-License-Identifier: Apache-2.0
"""What sends a reminder: an Airflow notifier or a function, named by its import path, and called in a thread.

A sender is foreign code. It may hang, and its errors may hold anything. A DAG's author names it; with a wait
travel its import path and arguments, never the object.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import logging
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from functools import cache, partial
from importlib import import_module
from types import SimpleNamespace
from typing import Any, TypeVar

from asgiref.sync import async_to_sync

from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError
from airflow_provider_bkitsm.tickets.reminder import Reminder

log = logging.getLogger(__name__)
T = TypeVar("T")

_OWN_PACKAGE = "airflow_provider_bkitsm."
_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")
# Of a context, not of a notifier.
_NOT_ARGUMENTS = frozenset({"self", "context"})
# Inside a text a sign of Jinja's may begin; JSON's own braces never stand so.
_JINJA = re.compile(r"\{(?=[{%#])")


@dataclass(frozen=True, kw_only=True)
class SenderSpec:
    """A sender, as it is stored and travels: the import path of a class or function, and arguments in JSON.

    :param kwargs: of the class's constructor, or of the function besides those of the reminder.
    """

    path: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """16 hex characters, the same for the same sender only."""
        text = json.dumps([self.path, dict(self.kwargs)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def is_own(self) -> bool:
        """Whether it is one of this provider's notifiers, which a page may send with too."""
        return self.path.startswith(f"{_OWN_PACKAGE}notifications.")

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {"path": self.path, "kwargs": dict(self.kwargs)}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> SenderSpec:
        """Return what ``as_dict`` gave."""
        return cls(path=str(stored["path"]), kwargs=dict(stored.get("kwargs") or {}))


def without_templates(data: Any) -> str:
    """Return JSON text in which nothing looks like a template: Airflow renders what a trigger is started with."""
    return _JINJA.sub(r"\\u007b", json.dumps(data, allow_nan=False))


def sender_specs(given: Any, *, name: str = "remind_by") -> tuple[SenderSpec, ...]:
    """Return the senders that an author gives: one, or several in a list.

    :param given: a notifier; Airflow's ``AsyncCallback`` or ``SyncCallback``; an import path; None.
    :raises ItsmConfigurationError: something in it is none of these, or its arguments are not JSON.
    """
    if given is None:
        return ()
    each = given if isinstance(given, list | tuple) else [given]
    specs = (_spec_of(one, name) for one in each)
    return tuple({spec.key: spec for spec in specs}.values())


def write_senders(specs: Iterable[SenderSpec]) -> str | None:
    """Return senders as they are stored; None for none."""
    stored = [spec.as_dict() for spec in specs]
    return json.dumps(stored) if stored else None


def read_senders(stored: str | None) -> tuple[SenderSpec, ...]:
    """Return the senders that ``write_senders`` wrote; none of what cannot be read."""
    try:
        return tuple(map(SenderSpec.from_dict, json.loads(stored or "[]")))
    except (ValueError, TypeError, KeyError):
        return ()


def _spec_of(given: Any, name: str) -> SenderSpec:
    path = given if isinstance(given, str) else getattr(given, "path", None)
    kwargs: Any = {} if isinstance(given, str) else getattr(given, "kwargs", None)
    if not isinstance(path, str) or not isinstance(kwargs, Mapping):
        path, kwargs = _path_of(type(given)), _arguments_of(given, name)
    if not _PATH.fullmatch(path.strip()):
        raise ItsmConfigurationError(f"{name}: {path!r} is no import path of a notifier or function")
    try:
        plain = json.loads(json.dumps(dict(kwargs), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ItsmConfigurationError(
            f"{name}: the arguments of {path} cannot be written as JSON: {error}"
        ) from None
    return SenderSpec(path=path.strip(), kwargs=plain)


def _path_of(kind: type[Any]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _arguments_of(notifier: Any, name: str) -> dict[str, Any]:
    """Return the arguments that make a notifier again: it keeps each under its own name, as notifiers do.

    One that is not kept does no harm where the notifier is the same without it: what ``template`` of Airflow's
    ``SmtpNotifier`` names was read into ``html_content``.

    :raises ItsmConfigurationError: it keeps some otherwise, or is no notifier.
    """
    from airflow.sdk.bases.notifier import BaseNotifier

    kind = type(notifier)
    if not isinstance(notifier, BaseNotifier):
        raise ItsmConfigurationError(
            f"{name} takes notifiers, Airflow's callbacks or import paths, not {kind.__name__}"
        )
    parameters = dict(_parameters(kind))
    kept = {key: getattr(notifier, key) for key in parameters if hasattr(notifier, key)}
    lost = sorted(parameters.keys() - kept.keys())
    again = _made(kind, kept)
    if again is not None and lost and _same_state(again, notifier):
        lost = []
    changed = sorted(key for key in kept if getattr(again, key, _NOTHING) != kept[key])
    if lost or changed:
        raise ItsmConfigurationError(
            f"{name}: {kind.__name__} does not keep {', '.join(lost or changed)} as it was given. Write"
            f" SyncCallback({kind.__name__}, kwargs={{...}}) of airflow.sdk in its place"
        )
    return {key: value for key, value in kept.items() if value != parameters[key]}


def _made(kind: type[Any], arguments: Mapping[str, Any]) -> Any:
    """Return a notifier with these arguments; None where it cannot be made with them."""
    try:
        return kind(**arguments)
    except Exception:
        return None


def _same_state(one: Any, other: Any) -> bool:
    """Whether two objects hold the same, so far as their values can be compared."""
    try:
        return bool(vars(one) == vars(other))
    except Exception:
        return False


_NOTHING: Any = object()


def _parameters(kind: type[Any]) -> Iterator[tuple[str, Any]]:
    """Yield the arguments of a class's constructor and their defaults, also those that it hands on."""
    for one in kind.__mro__:
        if "__init__" not in vars(one):
            continue
        given = inspect.signature(vars(one)["__init__"]).parameters.values()
        for parameter in given:
            named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
            if named and parameter.name not in _NOT_ARGUMENTS:
                yield parameter.name, parameter.default
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in given):
            return


Send = Callable[[Reminder], None]


def load_sender(spec: SenderSpec) -> Send:
    """Import a sender, and return what sends a reminder with it. Blocks.

    :raises ItsmConfigurationError: it cannot be imported or made. The text of a foreign error is left out.
    """
    found = _imported(spec.path)
    if inspect.isclass(found):
        return partial(_notify, found, dict(spec.kwargs))
    return partial(_call, found, dict(spec.kwargs))


@cache
def _imported(path: str) -> Callable[..., Any]:
    module, _, name = path.rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except Exception as error:
        raise ItsmConfigurationError(f"{path} cannot be imported ({type(error).__name__})") from None
    if not callable(found):
        raise ItsmConfigurationError(f"{path} is neither a function nor a class")
    imported: Callable[..., Any] = found
    return imported


def _notify(kind: type[Any], kwargs: dict[str, Any], reminder: Reminder) -> None:
    """Make a notifier and have it send: by ``notify``, or where it has only that by ``async_notify``."""
    from airflow.sdk.bases.notifier import BaseNotifier

    context = _context_of(reminder)
    notifier = kind(**kwargs)
    if not isinstance(notifier, BaseNotifier) or type(notifier).notify is not BaseNotifier.notify:
        notifier(context)
        return
    notifier.context = context
    async_to_sync(_awaited)(notifier)


async def _awaited(notifier: Any) -> None:
    """Await in the event loop that this thread works for, if there is one: its connections are bound to it."""
    await notifier


def _call(function: Callable[..., Any], kwargs: dict[str, Any], reminder: Reminder) -> None:
    """Call a function with the arguments that it takes; the first six are those that every one takes."""
    always = {
        "sn": reminder.sn,
        "title": reminder.title,
        "ticket_url": reminder.ticket_url,
        "approvers": list(reminder.recipients),
        "waiting_since": reminder.waiting_since,
        "by": reminder.by or "Airflow",
    }
    result = function(**always, **kwargs, **_taken(function, {"reminder": reminder.as_dict()}))
    if inspect.isawaitable(result):
        async_to_sync(_awaited)(result)


def _taken(function: Callable[..., Any], more: Mapping[str, Any]) -> dict[str, Any]:
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}
    return {name: value for name, value in more.items() if name in parameters}


def _context_of(reminder: Reminder) -> Any:
    """Return the context that a notifier gets: the reminder, and the task's names where any context has them."""
    names = {name: getattr(reminder, name) for name in ("dag_id", "run_id", "task_id", "map_index")}
    ti = SimpleNamespace(**names, state="deferred", log_url=reminder.airflow_url, try_number=1)
    return {
        "reminder": reminder.as_dict(),
        "reminder_message": reminder,
        **names,
        "ti": ti,
        "task_instance": ti,
        "dag_run": SimpleNamespace(dag_id=reminder.dag_id, run_id=reminder.run_id),
    }


class ThreadPerCall(Executor):
    """Runs each call in a thread of its own, which never delays the end of the process.

    The thread of a call that hangs stays. So there are limits to how many there may be.

    :param most: how many threads there may be, those that hang among them.
    """

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._running = 0

    @property
    def has_room(self) -> bool:
        """Whether a further call may begin."""
        return self._running < self._most

    def submit(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Start a call."""
        future: Future[T] = Future()
        # Nobody can call it back any more.
        future.set_running_or_notify_cancel()
        with self._lock:
            self._running += 1
        threading.Thread(
            target=self._run, args=(future, partial(function, *args, **kwargs)), name="bkitsm-remind", daemon=True
        ).start()
        return future

    def _run(self, future: Future[T], call: Callable[[], T]) -> None:
        tell: Callable[[], None]
        try:
            tell = partial(future.set_result, call())
        except Exception as error:
            tell = partial(future.set_exception, error)
        except BaseException as error:
            # An event loop that waits for the call would end with it, and all else that runs there.
            reason = RuntimeError(f"the call has ended its thread: {type(error).__name__}")
            tell = partial(future.set_exception, reason)
        with self._lock:
            self._running -= 1
        tell()
