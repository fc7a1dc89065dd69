"""``init-ci`` installs what is installed here, or says that it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from codesign.ci import PLAIN, requirement
from codesign.errors import UsageError

HOME = Path("/home/me/net")
GIT = {"url": "https://example.org/c.git", "vcs_info": {"vcs": "git", "commit_id": "a" * 40}}


@pytest.mark.parametrize(
    ("origin", "wanted"),
    [
        (None, "codesign[sim]==0.1.0"),
        (GIT, f"codesign[sim] @ git+https://example.org/c.git@{'a' * 40}"),
        (
            {"url": "https://example.org/codesign-0.1.0-py3-none-any.whl", "archive_info": {}},
            "codesign[sim] @ https://example.org/codesign-0.1.0-py3-none-any.whl",
        ),
        (
            {"url": "file:///home/me/net/wheels/codesign-0.1.0.whl", "archive_info": {}},
            "./wheels/codesign-0.1.0.whl[sim]",
        ),
    ],
)
def test_what_the_workflow_installs(origin, wanted: str) -> None:
    assert requirement(origin, "0.1.0", HOME) == wanted
    assert PLAIN.fullmatch(wanted)


@pytest.mark.parametrize(
    ("origin", "says"),
    [
        ({"url": "file:///tmp/codesign.whl", "archive_info": {}}, "a file outside"),
        ({"url": "file:///home/me/net/codesign", "dir_info": {"editable": True}}, "a checkout"),
    ],
)
def test_what_it_cannot_reach_is_said(origin, says: str) -> None:
    with pytest.raises(UsageError, match=says) as raised:
        requirement(origin, "0.1.0", HOME)
    assert "--install" in raised.value.hint


@pytest.mark.parametrize("text", ['a"; rm -rf /', "$(x)", "`x`", "a\nb", "a\\b"])
def test_no_requirement_leaves_its_quotes(text: str) -> None:
    assert not PLAIN.fullmatch(text)
