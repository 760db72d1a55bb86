"""The session registry: the state that results from admin events, shared by all hubs of a process."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tickwire.core.event import NO_EVENTS, SequenceRange
from tickwire.sessions.admin_events import (
    AdminEvent,
    KeepAlive,
    OverridesExpired,
    ScenarioStarted,
    SubscriptionChanged,
    SubscriptionStored,
    TokensRevoked,
)
from tickwire.sessions.revoked import RevokedTokens
from tickwire.sessions.snapshot import HubSnapshot, SavedStatus
from tickwire.sessions.stored_subscriptions import StoredSubscriptions
from tickwire.sessions.subscription_overrides import SubscriptionOverrides


class SessionRegistry:
    """Contains the subscription overrides, the stored subscriptions, the revoked tokens, and the simulation's
    scenario."""

    def __init__(self) -> None:
        self.overrides = SubscriptionOverrides()
        self.stored_subscriptions = StoredSubscriptions()
        self.revoked_tokens = RevokedTokens()
        self.scenario: ScenarioStarted | None = None

    def apply(self, event: AdminEvent, sequence: int) -> bool:
        """Apply the admin event with this sequence number.

        Return False if the event has no effect. Only a SubscriptionChanged can have no effect (see its docstring).
        """
        if isinstance(event, SubscriptionChanged):
            return self.overrides.apply(event, sequence)
        if isinstance(event, OverridesExpired):
            self.overrides.discard(set(event.changes), event.after)
        elif isinstance(event, SubscriptionStored):
            self.stored_subscriptions.store(event.id, event.parameters, event.user)
        elif isinstance(event, KeepAlive):
            self.overrides.mark_connected(set(event.clients), sequence)
            self.stored_subscriptions.refresh(event.kept)
        elif isinstance(event, TokensRevoked):
            self.revoked_tokens.apply(event)
        elif isinstance(event, ScenarioStarted):
            self.scenario = event
        return True

    def capture(
        self,
        encode_board: Callable[[], bytes],
        encode_candles: Callable[[], bytes],
        halted_symbols: list[str],
        status: SavedStatus | None = None,
        *,
        unreadable: SequenceRange = NO_EVENTS,
    ) -> Callable[[], HubSnapshot]:
        """Copy the state of this registry, and return a function that creates a hub snapshot from the copy.

        Any thread may call the function. The function calls `encode_board` and `encode_candles`, which return the other
        parts of the snapshot.
        """
        list_changes = self.overrides.capture()
        create = partial(
            HubSnapshot,
            kept=self.stored_subscriptions.save(),
            revoked=self.revoked_tokens.save(),
            stage=self.scenario,
            halted=[*halted_symbols],
            held=self.overrides.last_seen_sequences(),
            owners=self.stored_subscriptions.owners(),
            unreadable=(unreadable.first, unreadable.last),
            revoked_ages=self.revoked_tokens.ages(),
            status=status,
        )
        return lambda: create(board=encode_board(), changes=list_changes(), candles=encode_candles())

    def restore(self, snapshot: HubSnapshot) -> None:
        """Restore the state of this registry from a snapshot."""
        self.overrides.restore(snapshot.changes, snapshot.held)
        self.stored_subscriptions.restore(snapshot.kept, snapshot.owners)
        self.revoked_tokens.restore(snapshot.revoked, snapshot.revoked_ages)
        self.scenario = snapshot.stage

    def remove_expired(self, now: float) -> None:
        """Evict idle stored subscriptions, and drop expired revocations. `now` is monotonic, in seconds."""
        self.stored_subscriptions.evict_idle(now)
        self.revoked_tokens.remove_expired(now)
