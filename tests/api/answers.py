"""What the tests ask of an answer. That it is as the OpenAPI document says, the clients' hook asks of every one."""

from httpx import Response

from tests.api.calls import Json


def problem(response: Response, status: int, code: str) -> Json:
    """The problem document of a refusal."""
    assert response.status_code == status, response.text
    document: Json = response.json()
    assert document["code"] == code, response.text
    return document


def pointers(response: Response, status: int = 422) -> set[str]:
    """Where a refusal says that the faults are."""
    assert response.status_code == status, response.text
    return {error["pointer"] for error in response.json()["errors"]}
