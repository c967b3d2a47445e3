# SPDX-License-Identifier: BSD-2-Clause
"""A server for a model on a device: OpenAI's interface and a page, over one owner of the device.

    ask       a request's JSON, checked
    owner     the thread that has the model: admits requests, decodes them together, keeps caches
    sequence  one text being made: its tokens, its text, where it stops
    app       routes, streaming, keys
    guard     requests for other names, and errors that no route answers
    replies   answers and errors in OpenAI's shape
    figures   what was measured, for /metrics and the page
    page      the page's files

Only `app` and `guard` need Starlette (the extra `serve`).
"""
