"""
An application gateway that sends nothing to a backend whose certificate is not
on the list.
"""

from __future__ import annotations

from appgw.service import Gateway

__all__ = ["Gateway"]
