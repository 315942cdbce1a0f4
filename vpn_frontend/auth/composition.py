# SPDX-License-Identifier: GPL-3.0-or-later
"""Compositions of authentication methods: alternatives, and methods that are all required. Each is a method. Pure.

The state of a composition holds which of its methods is asked and what the ones before it accepted.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass
from vpn_frontend.auth.result import (
    WRONG,
    Accepted,
    Challenge,
    FirstForm,
    Negotiate,
    Refused,
    Unavailable,
    chain,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from vpn_frontend.auth.method import LoginRequest, Method
    from vpn_frontend.auth.result import Outcome, Pending


def compose(alternatives: Sequence[Method], required: Sequence[Method] = (), before: Sequence[Method] = ()) -> Method:
    """Every one of ``before``, then one of ``alternatives``, then every one of ``required``."""
    if not alternatives:
        raise ValueError("no method to log in with")
    base = alternatives[0] if len(alternatives) == 1 else AnyOf(alternatives)
    return AllOf((*before, base, *required)) if before or required else base


@dataclass(frozen=True, slots=True)
class AnyOfState:
    index: int  # of the method that asked
    state: object  # its own


class AnyOf:
    """Alternatives, asked in their sequence until one does not refuse. A challenge binds the login to its method.

    A method that is unavailable is passed over. If every method refuses or is unavailable, a refusal is the outcome, a
    scored one if there is one: otherwise guesses would not count while one method is unavailable.
    """

    def __init__(self, methods: Sequence[Method]) -> None:
        self._methods = tuple(methods)
        self.name = " or ".join(method.name for method in methods)
        self.backend = self.name

    def begin(self, login: LoginRequest) -> Outcome | Pending:
        return self._begin(login, 0, None)

    def answer(self, state: object, fields: Mapping[str, str]) -> Outcome | Pending:
        if not isinstance(state, AnyOfState):
            raise TypeError(f"a state of {type(state).__name__}")
        return chain(self._methods[state.index].answer(state.state, fields), partial(self._bind, state.index))

    def _begin(self, login: LoginRequest, index: int, failure: Refused | Unavailable | None) -> Outcome | Pending:
        if failure is not None and index == len(self._methods):
            return failure
        return chain(self._methods[index].begin(login), partial(self._go_on, login, index, failure))

    def _go_on(
        self, login: LoginRequest, index: int, failure: Refused | Unavailable | None, outcome: Outcome
    ) -> Outcome | Pending:
        outcome = self._bind(index, outcome)
        if isinstance(outcome, FirstForm) and isinstance(failure, Refused) and failure.scored:
            return replace(outcome, refused=failure)
        if not isinstance(outcome, Refused | Unavailable):
            return outcome
        return self._begin(login, index + 1, _graver(failure, outcome))

    @staticmethod
    def _bind(index: int, outcome: Outcome) -> Outcome:
        return wrap_state(outcome, partial(AnyOfState, index))


@dataclass(frozen=True, slots=True)
class AllOfState:
    login: LoginRequest
    index: int  # of the method that asked
    accepted: Accepted | None  # by those before it
    state: object  # its own


class AllOf:
    """Every method, one after the other. All must accept the same user.

    The group that the client has chosen has to be one of every method that names groups of the user.
    """

    def __init__(self, methods: Sequence[Method]) -> None:
        self._methods = tuple(methods)
        self.name = " and ".join(method.name for method in methods)
        self.backend = self.name

    def begin(self, login: LoginRequest) -> Outcome | Pending:
        return self._begin(login, 0, None)

    def answer(self, state: object, fields: Mapping[str, str]) -> Outcome | Pending:
        if not isinstance(state, AllOfState):
            raise TypeError(f"a state of {type(state).__name__}")
        outcome = self._methods[state.index].answer(state.state, fields)
        return chain(outcome, partial(self._go_on, state.login, state.index, state.accepted))

    def _begin(self, login: LoginRequest, index: int, accepted: Accepted | None) -> Outcome | Pending:
        if accepted is not None and index == len(self._methods):
            return accepted
        return chain(self._methods[index].begin(login), partial(self._go_on, login, index, accepted))

    def _go_on(self, login: LoginRequest, index: int, accepted: Accepted | None, outcome: Outcome) -> Outcome | Pending:
        if not isinstance(outcome, Accepted):
            token, kept = b"", accepted
            if accepted is not None and accepted.negotiate:
                token, kept = accepted.negotiate, replace(accepted, negotiate=b"")
            outcome = wrap_state(outcome, partial(AllOfState, login.without_secrets(), index, kept))
            return replace(outcome, negotiate=token) if token and isinstance(outcome, Challenge) else outcome
        if login.group and outcome.groups and login.group not in outcome.groups:
            return Refused(f"You are not a member of the group {login.group}.", "not_a_member")
        if accepted is not None:
            if outcome.user.name != accepted.user.name:
                return Refused(WRONG, "another_user")
            groups = tuple(dict.fromkeys((*accepted.groups, *outcome.groups)))
            # An account that one of the methods keeps has to exist: the directory's record holds.
            user = outcome.user if accepted.user.external and not outcome.user.external else accepted.user
            if accepted.user.code_only and not outcome.user.code_only:
                user = replace(user, code_only=False)  # the code was right
            token = accepted.negotiate or outcome.negotiate
            outcome = Accepted(user, groups, accepted.remote or outcome.remote, token)
        return self._begin(replace(login, user=outcome.user), index + 1, outcome)


def _graver(one: Refused | Unavailable | None, other: Refused | Unavailable) -> Refused | Unavailable:
    """The failure that stands for both: a scored refusal, else a refusal, else the later one."""
    if one is None or _gravity(other) >= _gravity(one):
        return other
    return one


def _gravity(failure: Refused | Unavailable) -> int:
    return 0 if isinstance(failure, Unavailable) else 1 + failure.scored


def wrap_state(outcome: Outcome, wrap: Callable[[object], object]) -> Outcome:
    """The outcome with ``wrap`` applied to the state of its challenge, if it has one."""
    if isinstance(outcome, Challenge):
        return replace(outcome, state=wrap(outcome.state))
    if isinstance(outcome, Negotiate) and outcome.state is not None:
        return replace(outcome, state=wrap(outcome.state))
    if isinstance(outcome, Refused) and outcome.retry is not None:
        return replace(outcome, retry=Challenge(outcome.retry.form, wrap(outcome.retry.state)))
    return outcome
