"""Without a browser the tests of the page say so: a skip with its reason, or an error in continuous integration."""

from __future__ import annotations

from pathlib import Path

import pytest

from .browser import executable
from .conftest import missing

SCRIPT = Path(__file__).parents[2] / ".ci" / "run"


def test_it_is_an_error_where_everything_must_be_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="apt-get install chromium"):
        missing()


def test_it_is_a_skip_with_its_reason_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install chromium"):
        missing()


def test_no_browser_is_found_on_an_empty_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert executable() is None


def test_continuous_integration_installs_one() -> None:
    assert "apt-get install -y -qq --no-install-recommends chromium" in SCRIPT.read_text(encoding="utf-8")
