"""
What must hold between the parts of a configuration. Pure.
"""

from __future__ import annotations

import datetime
from itertools import islice

from appgw.config.certificates import certificate_findings
from appgw.config.check_backends import backend_findings
from appgw.config.check_frontend import frontend_findings
from appgw.config.check_pins import pin_findings
from appgw.config.check_redirects import redirect_findings
from appgw.config.check_rewrites import rewrite_findings
from appgw.config.check_routing import routing_findings
from appgw.config.check_tls import tls_findings
from appgw.config.model import Config
from appgw.config.ports import clashes
from appgw.config.problems import Places, Problem
from appgw.config.references import dangling

MOST_DANGLING = 1000


def check(config: Config, places: Places, now: datetime.datetime) -> list[Problem]:
    """
    Find everything that is wrong with a configuration.

    Args:
        config: from a file or made in a program.
        places: the file's lines; ``Places()`` for one made in a program.
        now: what certificates' dates are compared with.
    """
    findings = [
        *islice(dangling(config), MOST_DANGLING),
        *frontend_findings(config, places),
        *tls_findings(config, places),
        *clashes(config, places),
        *routing_findings(config, places),
        *redirect_findings(config, places),
        *rewrite_findings(config, places),
        *backend_findings(config, places),
        *pin_findings(config, places, now),
        *certificate_findings(config, places, now),
    ]
    return [places.problem(finding) for finding in findings]
