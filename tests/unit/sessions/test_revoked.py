"""Revoked users and tokens."""

from __future__ import annotations

import contextlib
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from tickwire.server.auth.keys import FixedKeySource, key_from_secret
from tickwire.server.auth.tokens import TokenVerifier
from tickwire.server.http_errors import Unauthorized
from tickwire.sessions.admin_events import TokensRevoked
from tickwire.sessions.revoked import RevokedTokens, revocation_event
from tickwire.sessions.rights import Rights
from tickwire.testing.clock import ManualClock
from tickwire.testing.tokens import TEST_SECRET, sign_token


def test_revocations_cover_tokens_until_these_expire() -> None:
    """Revoking a user covers the tokens issued until then. Revoking a token id covers all tokens with that id."""
    revoked = RevokedTokens()
    revoked.apply(TokensRevoked("user:ann", 100.0, 200.0, 0))
    revoked.apply(TokensRevoked("token:7", 100.0, 300.0, 0))
    assert revoked.is_revoked(Rights(user="ann", issued=100.0))
    assert revoked.is_revoked(Rights(user="ann"))
    assert not revoked.is_revoked(Rights(user="ann", issued=101.0))
    assert revoked.is_revoked(Rights(user="bob", token="7", issued=101.0))
    assert not revoked.is_revoked(Rights(user="bob", token="8"))


def test_a_revocation_is_dropped_after_its_age_exceeds_its_lifetime() -> None:
    """The age counts the time for which servers have stored the revocation, across a restart."""
    revoked = RevokedTokens()
    revoked.apply(TokensRevoked("user:ann", 100.0, 200.0, 0))
    revoked.apply(TokensRevoked("token:7", 100.0, 300.0, 0))
    for now in (5000.0, 5060.0):
        revoked.remove_expired(now)
    restored = RevokedTokens()
    restored.restore(revoked.save(), revoked.ages())
    for now, names in ((0.0, 2), (40.0, 2), (41.0, 1), (140.0, 1), (141.0, 0)):
        restored.remove_expired(now)
        assert len(restored) == names, now


def test_a_second_revocation_does_not_shorten_the_first() -> None:
    """The clock of the second server may be behind."""
    revoked = RevokedTokens()
    revoked.apply(TokensRevoked("user:ann", 100.0, 200.0, 0))
    revoked.apply(TokensRevoked("user:ann", 50.0, 150.0, 0))
    assert revoked.save() == [TokensRevoked("user:ann", 100.0, 200.0, 0)]


@given(
    seed=st.integers(0, 2**32),
    max_age_s=st.sampled_from([60.0, 3600.0, 30 * 86_400.0]),
    leeway_s=st.sampled_from([0.0, 10.0, 300.0]),
    by_user=st.booleans(),
)
async def test_a_token_that_existed_at_its_revocation_is_never_accepted_again(
    seed: int, max_age_s: float, leeway_s: float, by_user: bool
) -> None:
    """The test covers any times in the token, and any jumps of the server's wall clock."""
    random = Random(seed)
    clock, start = ManualClock(), ManualClock().now() / 1e9
    verifier = TokenVerifier(
        FixedKeySource(key_from_secret(TEST_SECRET)), clock, leeway_s=leeway_s, max_lifetime_s=max_age_s
    )
    issued = start - random.choice([0, max_age_s / 2, max_age_s]) + random.choice([0, leeway_s])
    lifetime_s = max_age_s * random.choice([0.1, 1, 1.5]) + random.choice([0, 1e-3])
    token = sign_token(iat=issued, exp=issued + lifetime_s, jti="7")
    revoked, now = RevokedTokens(), start
    name = "user:ann" if by_user else "token:7"
    revoked.apply(revocation_event(name, start, max_token_age_s=max_age_s, leeway_s=leeway_s, retry_ms=0))
    for _ in range(12):
        step_s = random.choice([0, 1, leeway_s, 2 * leeway_s, max_age_s / 2, max_age_s])
        now += step_s
        await clock.advance(step_s)
        jump_s = random.choice([0, 0, 31 * 86_400])
        clock.set_wall_clock(int((now + jump_s) * 1e9))
        revoked.remove_expired(clock.monotonic())
        clock.set_wall_clock(int(now * 1e9))
        with contextlib.suppress(Unauthorized):
            assert revoked.is_revoked(await verifier.verify(token)), f"valid again after {now - start} s"
