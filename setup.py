"""
The compiled form, on request: ``APPGW_COMPILE=1 pip install .`` (a C compiler and
Python's headers are needed). Without the variable the wheel is pure Python.

Everything else about the package: setup.cfg.
"""

from __future__ import annotations

import os

from setuptools import setup

# What takes each request's bytes apart and puts them together again. mypyc takes
# a third off a small request by these. The others only call OpenSSL, llhttp or
# Twisted, and gain nothing that could be measured.
MODULES = (
    "appgw/access_format.py",
    "appgw/backend/answer.py",
    "appgw/backend/stream.py",
    "appgw/connecting.py",
    "appgw/exchange.py",
    "appgw/life.py",
    "appgw/listen/chunks.py",
    "appgw/listen/heads.py",
    "appgw/listen/http1.py",
    "appgw/listen/messages.py",
    "appgw/listen/request.py",
    "appgw/message.py",
    "appgw/raw.py",
    "appgw/record.py",
    "appgw/route/decide.py",
    "appgw/route/fields.py",
    "appgw/route/forwarded.py",
    "appgw/route/listeners.py",
    "appgw/route/paths.py",
    "appgw/tunnel.py",
    "appgw/wire.py",
)

if os.environ.get("APPGW_COMPILE") != "1":
    setup()
else:
    try:
        from mypyc.build import mypycify
    except ImportError:
        # pip and build ask first what is required, install that apart from
        # everything else, and come again. mypy understands the classes of attrs
        # only where it finds attrs.
        setup(setup_requires=["attrs>=23.1", "mypy>=1.15"])
    else:
        # The project's settings for mypy name a plugin that is not needed here.
        options = ["--config-file=", "--cache-dir=build/mypy"]
        options += ["--ignore-missing-imports", "--follow-imports=silent"]
        setup(ext_modules=mypycify([*options, *MODULES], group_name="appgw"))
