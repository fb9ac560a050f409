"""A simulator of an OPNsense router's API, for the twin. It is no OPNsense.

It answers as the API of the plugin os-frr 1.54 and of the core does, from what is known of them
(``goldentooth/opnsense/models.json``: lists, fields, defaults, bounds, masks, relations), and
drives the FRR of the host that it runs on. It runs on the router with Debian's own Python and
nothing but the standard library.

What it does not do: users and sessions of the web interface, other plugins, CARP, SNMP, and DNS:
host overrides are kept and listed as Unbound lists them, but no name server answers.
"""
