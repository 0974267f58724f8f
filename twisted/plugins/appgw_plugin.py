"""
Names the ``appgw`` command of twistd, nothing else.
"""

from twisted.application.service import ServiceMaker

appgw = ServiceMaker(
    "appgw",
    "appgw.tap",
    "An application gateway that pins the certificates of its backends.",
    "appgw",
)
