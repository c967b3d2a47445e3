# SPDX-License-Identifier: BSD-2-Clause
"""A server for a model on a device: OpenAI's interface and a page, over one owner of the device.

    ask       a request's JSON, checked
    owner     the thread that has the model: admits requests, decodes them together, keeps caches
    sequence  one text being made: its tokens, its text, where it stops
    app       routes, streaming, keys
    figures   what was measured, for /metrics and the page
    page      the page's files

Only `app` needs Starlette (the extra `serve`).
"""
