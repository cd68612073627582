"""A report as JUnit XML, which most build servers read: one suite for the file, one case for each finding."""

from __future__ import annotations

import re
from xml.sax.saxutils import escape, quoteattr

from intact.core.report import Report

_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def render(report: Report) -> str:
    """Returns a report as XML."""
    errors = [finding for finding in report.findings if finding.severity == "error"]
    cases = [
        f"  <testcase classname={_attribute(finding.code.partition('/')[0])} name={_attribute(finding.code)}>"
        + (
            f"<failure message={_attribute(finding.headline)} type={_attribute(finding.code)}>{_text(finding.help)}</failure>"
            if finding.severity == "error"
            else f"<system-out>{_text(finding.headline)}</system-out>"
        )
        + "</testcase>"
        for finding in report.findings
    ]
    cases = cases or [f'  <testcase classname="intact" name={_attribute(report.verdict or "inspected")}/>']
    head = f'<testsuite name={_attribute(report.source.path)} tests="{len(cases)}" failures="{len(errors)}" errors="0">'
    return "\n".join(['<?xml version="1.0" encoding="UTF-8"?>', head, *cases, "</testsuite>"])


def _text(text: str) -> str:
    return escape(_FORBIDDEN.sub("\ufffd", text))


def _attribute(text: str) -> str:
    return quoteattr(_FORBIDDEN.sub("\ufffd", text))
