# SPDX-License-Identifier: Apache-2.0
"""What to do about an error of ITSM, by its kind. The error's own message is the same in every language. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from airflow_provider_bkitsm.hooks.route import Route
from airflow_provider_bkitsm.itsm.errors import (
    CollectItsmNotExists,
    ItsmAnotherDialectError,
    ItsmAuthenticationError,
    ItsmConfigurationError,
    ItsmEndpointNotFoundError,
    ItsmError,
    ItsmInvalidRequestError,
    ItsmOutcomeUnknownError,
    ItsmPermissionError,
    ItsmRateLimitedError,
    ItsmTicketNotFoundError,
    ItsmUnavailableError,
)
from airflow_provider_bkitsm.translation import Language, Text

NOT_DEFINED = Text(
    "define it in the environment, the secrets backend or Airflow's database (airflow connections add)"
)
"""What to do about a connection that there is not."""

_LOOK_UP = Text("look for the message on the page Troubleshooting by message")
_NO_WAY = Text("repeat it; if it stays so, airflow bkitsm check shows how far the way to ITSM leads")

# The first kind that an error is of counts.
_CURES: Mapping[type[ItsmError], Text] = {
    ItsmAuthenticationError: Text(
        "compare login (app code) and password (app secret) with the application's page in the gateway; where"
        " the message says that the user is not verified, put an access_token into the connection's extra, or"
        " have the gateway's administrator exempt the app"
    ),
    ItsmPermissionError: Text("have the gateway's administrator grant the app the call that the message names"),
    ItsmEndpointNotFoundError: Text("set the connection's host to the gateway's root, with its path and stage"),
    CollectItsmNotExists: Text("name a service or workflow that exists: airflow bkitsm services lists them"),
    ItsmTicketNotFoundError: Text("compare the number, and name the ticket's connection with --bkitsm-conn-id"),
    ItsmAnotherDialectError: Text("set the connection's extra dialect to the one the ticket was opened in"),
    ItsmConfigurationError: Text("mend the connection's field or the variable that the message names"),
    ItsmInvalidRequestError: Text("change what the message names; the same request is refused again"),
    ItsmOutcomeUnknownError: Text("look in ITSM whether it was done before you repeat it"),
    ItsmRateLimitedError: Text("wait a moment, and repeat it"),
    ItsmUnavailableError: _NO_WAY,
}


def cure_of(error: ItsmError, route: Route | None = None) -> Text:
    """Return what to do about an error.

    :param route: the way to ITSM, where it was looked up: its parts are what to look at if nobody answers.
    """
    cure = next((cure for kind, cure in _CURES.items() if isinstance(error, kind)), _LOOK_UP)
    return cure if route is None or cure is not _NO_WAY else _cure_of_silence(route)


def _cure_of_silence(route: Route) -> Text:
    proxy = (
        Text(
            "whether the proxy {proxy} ({reason}) is up and lets it through, ",
            proxy=route.proxy.url,
            reason=route.proxy_reason,
        )
        if route.proxy
        else ""
    )
    scheme = "" if route.tls else Text("whether the address has to be https://, ")
    return Text(
        "look {proxy}{scheme}whether host and port of the connection are the gateway's; curl -i from this machine"
        " shows who answers there. For a certificate, set the extra verify to the path of its CA bundle",
        proxy=proxy,
        scheme=scheme,
    )


def with_cure(text: Text, cure: Text | None, language: Language) -> str:
    """Return a sentence in a language, and what to do about it."""
    if not cure:
        return text.into(language)
    sentence = text.into(language).rstrip(".。")
    return Text("{sentence}. WHAT TO DO: {cure}", sentence=sentence, cure=cure).into(language)
