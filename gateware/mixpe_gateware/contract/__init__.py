# SPDX-License-Identifier: BSD-2-Clause
"""The contract between gateware, simulation and host: configuration, registers, packed layout, jobs, arithmetic.

Numpy only. Everything else imports it and it imports nothing else of mixpe.
"""
