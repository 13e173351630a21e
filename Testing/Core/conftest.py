"""What several test modules of the core share."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from private_key import with_key

# The same examples on every run and every machine, however slow: a test that fails here fails everywhere. To look for
# new ones: pytest --hypothesis-profile=default.
settings.register_profile(
    "steady", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
if settings.get_current_profile_name() != "mutation":  # which has fewer examples
    settings.load_profile("steady")


@pytest.fixture(scope="module")
def private_folders(tmp_path_factory: pytest.TempPathFactory):
    """A key and a cache of the module's own, so that no test touches those of whoever runs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRRT_CONFIG_DIR", str(with_key(tmp_path_factory.mktemp("config"))))
        patch.setenv("PRRT_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield
