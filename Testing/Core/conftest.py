"""What several test modules of the core share."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def private_folders(tmp_path_factory: pytest.TempPathFactory):
    """A key and a cache of the module's own, so that no test touches those of whoever runs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRRT_CONFIG_DIR", str(tmp_path_factory.mktemp("config")))
        patch.setenv("PRRT_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield
