"""Heartbeats of other processes."""

from __future__ import annotations

from tickwire.journal.shared.membership import FORGET_TIMEOUT_S, HEARTBEAT_TIMEOUT_S, Membership


def test_first_heartbeat_is_new_and_later_ones_are_not():
    membership = Membership()
    assert membership.record_heartbeat("slow", 0.0)
    assert not membership.record_heartbeat("slow", 1.0)
    assert membership.record_heartbeat("slow", 1.0 + 2 * HEARTBEAT_TIMEOUT_S)


def test_node_with_a_heartbeat_since_the_request_stays_responsive():
    membership = Membership()
    membership.record_heartbeat("slow", 0.0)
    membership.record_heartbeat("mute", 0.0)
    membership.record_heartbeat("slow", 1.0)
    membership.mark_unresponsive({"slow", "mute"}, 0.5)
    assert membership.responsive_members(2.0) == {"slow"}
    assert membership.possible_members(2.0) == {"slow", "mute"}
    assert not membership.record_heartbeat("mute", 2.5)
    assert membership.responsive_members(2.5) == {"slow", "mute"}


def test_silent_node_is_unresponsive_and_later_forgotten():
    membership = Membership()
    membership.record_heartbeat("slow", 1.0)
    membership.record_heartbeat("mute", 2.5)
    assert membership.responsive_members(2.5 + HEARTBEAT_TIMEOUT_S) == {"mute"}
    assert membership.possible_members(2.0 + FORGET_TIMEOUT_S) == {"mute"}


def test_removed_node_is_not_a_possible_member():
    membership = Membership()
    membership.record_heartbeat("gone", 0.0)
    membership.remove("gone")
    assert not membership.possible_members(0.0)
