"""
What listeners present, made in a line.
"""

from __future__ import annotations

from typing import Any

from appgw.config.model import Certificate
from appgw.testing import Issued


def name_of(issued: Issued) -> str:
    """
    Return a certificate's common name.
    """
    return issued.certificate.subject.rfc4514_string().removeprefix("CN=")


def held(issued: Issued, **more: Any) -> Certificate:
    """
    Make a certificate as the configuration holds it.
    """
    return Certificate(
        name=name_of(issued), chain=issued.chain_pem, key=issued.key_pem, **more
    )
