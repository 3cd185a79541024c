"""Findings as TFDV's anomalies, which its tools show."""

from __future__ import annotations

import math

from tensorflow_metadata.proto.v0 import anomalies_pb2

from pipeline.gates.causes import number
from pipeline.gates.findings import DAY, GateReport


def anomalies_of(report: GateReport) -> anomalies_pb2.Anomalies:
    """One entry a column that stands out, with all of its measures."""
    found = anomalies_pb2.Anomalies()
    severity = anomalies_pb2.AnomalyInfo.Severity
    for finding in report.findings:
        info = found.anomaly_info[finding.column]
        far = "" if math.isinf(finding.times) else f" ({finding.times:.1f} times)"
        told = (
            f"{finding.measure} is {number(finding.value)}, was "
            f"{number(finding.expected)}{far}: {finding.cause}"
        )
        info.severity = severity.WARNING if report.passes else severity.ERROR
        info.short_description = info.short_description or finding.measure
        info.description = f"{info.description}; {told}" if info.description else told
        if finding.column != DAY:
            info.path.step[:] = [finding.column]
    return found
