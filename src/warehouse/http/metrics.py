"""What Prometheus scrapes."""

from fastapi import APIRouter, Request, Response

from warehouse.metrics import exposition

router = APIRouter(include_in_schema=False)


@router.get("/metrics")
def metrics(request: Request) -> Response:
    """Not a coroutine, so that it runs in a thread: many series take their time."""
    content, media_type = exposition(request.headers.get("accept", ""))
    return Response(content, media_type=media_type)
