"""Simulated KuaiRand logs with known truth. See `logs` for the files."""

from pipeline.simulator.damage import DamagedLine, damage
from pipeline.simulator.errors import SimulationError
from pipeline.simulator.logs import simulate
from pipeline.simulator.summary import SimulationSummary

__all__ = ["DamagedLine", "SimulationError", "SimulationSummary", "damage", "simulate"]
