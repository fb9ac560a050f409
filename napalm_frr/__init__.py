"""A NAPALM driver for FRR on Linux, over SSH and vtysh: ``napalm.get_network_driver("frr")``."""

from napalm_frr.frr import FRRDriver

__all__ = ("FRRDriver",)
