"""Answers that hold a secret, kept for replays without keeping the secret."""

import base64
import dataclasses

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from warehouse.commands.model import Answer
from warehouse.errors import Code, Invalid


class Seal:
    """Encrypts the body of an answer under the caller's own API key and idempotency key (HKDF, RFC 5869; Fernet).

    Only digests of these two are stored: the database alone cannot open what it keeps, the caller who repeats the
    request can.
    """

    def __init__(self, caller_secret: str, idempotency_key: str | None) -> None:
        derivation = HKDF(SHA256(), length=32, salt=(idempotency_key or "").encode(), info=b"warehouse answer seal")
        self._fernet = Fernet(base64.urlsafe_b64encode(derivation.derive(caller_secret.encode())))

    def close(self, answer: Answer) -> Answer:
        return dataclasses.replace(answer, body=self._fernet.encrypt(answer.body))

    def open(self, answer: Answer) -> Answer:
        """A refusal holds no secret and is not sealed. Raises `Invalid(IDEMPOTENCY_KEY_REUSED)` where the caller's own
        key has been rotated since: whoever holds the new one only is not the one who asked."""
        if answer.status >= 400:
            return answer
        try:
            return dataclasses.replace(answer, body=self._fernet.decrypt(answer.body))
        except InvalidToken:
            raise Invalid(
                "The first request with this key came under another secret of yours.",
                code=Code.IDEMPOTENCY_KEY_REUSED,
            ) from None
