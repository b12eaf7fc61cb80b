"""Whose formula a number is stands beside it."""

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from progressive_training.loop.project.receipts import EvalReceipt
from progressive_training.loop.project.version import Version
from progressive_training.server.dashboard.routes import routes
from support.projects import At

MARK = "the script&#39;s own formula"


@pytest.mark.requirement("E3")
def test_a_number_by_the_scripts_own_formula_is_marked_on_its_versions_page(at: At) -> None:
    project = at("scored").project()
    client = TestClient(Starlette(routes=routes(project)))
    assert "own formula" not in client.get("/versions/1").text
    receipt = Version(project, 1).receipt(EvalReceipt)
    assert receipt is not None
    Version(project, 1).save(receipt.model_copy(update={"formulas": {"loss": "server", "accuracy": "script"}}))
    page = client.get("/versions/1").text.replace("'", "&#39;")
    assert page.count(MARK) == 1 and page.index("accuracy", page.index("<tbody>")) < page.index(MARK)
