# SPDX-License-Identifier: Apache-2.0
"""``@task.bkitsm_approval``: a function returns the form, people decide in ITSM, the task returns the verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk.bases.decorator import DecoratedOperator, task_decorator_factory

from airflow_provider_bkitsm.itsm.errors import ItsmInvalidRequestError
from airflow_provider_bkitsm.itsm.form import read_form
from airflow_provider_bkitsm.operators.ticket_approval import ItsmApprovalOperator
from airflow_provider_bkitsm.version_compat import function_arguments

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.bases.decorator import TaskDecorator


class ItsmApprovalDecoratedOperator(DecoratedOperator, ItsmApprovalOperator):
    """Opens a ticket with the form that a function returns, and waits as :class:`ItsmApprovalOperator` does.

    The form is sent as it is. Templates in it are not rendered, since it may hold values of a run's parameters.

    :param python_callable: returns the service's submit form by key; a ``title`` in it takes the place of
        the decorator's. It runs when the ticket is opened or searched again, and once more after an approval,
        so it must return the same form for the same arguments and have no side effects.
    :param title: title of the ticket, unless the function returns one. (templated)
    :param kwargs: parameters of :class:`ItsmApprovalOperator`, except ``fields``.
    """

    template_fields: Sequence[str] = (*DecoratedOperator.template_fields, *ItsmApprovalOperator.template_fields)
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **DecoratedOperator.template_fields_renderers,
        **ItsmApprovalOperator.template_fields_renderers,
    }
    custom_operator_name = "@task.bkitsm_approval"

    def __init__(self, *, python_callable: Callable[..., Any], title: str = "", **kwargs: Any) -> None:
        if kwargs.get("fields") is not None:
            raise TypeError("@task.bkitsm_approval takes no fields: the function returns them")
        super().__init__(python_callable=python_callable, title=title, **kwargs)

    def execute(self, context: Context) -> Any:
        """Open the ticket, and free the worker."""
        self.call_function(context)
        return super().execute(context)

    def compare(self, sn: str, context: Context) -> None:
        """Call the function again, and fail if it returns another form now."""
        self.call_function(context)
        super().compare(sn, context)

    def call_function(self, context: Context) -> None:
        """Take title and fields from the form that the function returns.

        :raises ItsmInvalidRequestError: the function returned no form; nothing is sent.
        """
        arguments = function_arguments(self.python_callable, self.op_args, {**context, **self.op_kwargs})
        form = self._read_form(self.python_callable(*self.op_args, **arguments))
        self.fields = {key: value for key, value in form.items() if key != "title"}
        self.title = str(form.get("title") or self.title)
        if not self.title.strip():
            raise ItsmInvalidRequestError(
                "the ticket has no title: give @task.bkitsm_approval one, or return one; nothing was asked"
            )

    def _read_form(self, returned: object) -> dict[str, Any]:
        """Read the form that the function returned; a text is not a form."""
        try:
            if isinstance(returned, str | None):
                raise ItsmInvalidRequestError(f"not {type(returned).__name__}")
            return read_form(returned, name="it")
        except ItsmInvalidRequestError as error:
            raise ItsmInvalidRequestError(
                f"{self.python_callable.__name__} must return the ticket's form as a mapping or ITSM's list:"
                f" {error.message}; nothing was asked"
            ) from None


def bkitsm_approval_task(python_callable: Callable[..., Any] | None = None, **kwargs: Any) -> TaskDecorator:
    """Turn a function that returns a ticket's form into a task that asks for an approval.

    The same as ``@task.bkitsm_approval``. Editors complete only the ``@task`` decorators that Airflow itself
    lists. They find this function like any other function.

    The task returns the verdict: ``sn``, ``outcome``, ``approvers``, ``decided_at`` ... .

    :param python_callable: the function, where the decorator is used without parentheses.
    :param kwargs: see :class:`ItsmApprovalDecoratedOperator`.
    """
    return task_decorator_factory(
        python_callable=python_callable,
        # The function's annotation is the form's, not the verdict's: nothing may be inferred from it.
        multiple_outputs=False,
        decorated_operator_class=ItsmApprovalDecoratedOperator,
        **kwargs,
    )
