# SPDX-License-Identifier: BSD-2-Clause
"""The packaged language model: its weights, the text it was trained on, and the script that trained it."""
