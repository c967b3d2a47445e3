# SPDX-License-Identifier: BSD-2-Clause
"""A checkpoint as a program for a device's decoder, without a device.

    jobs       what of a model is one linear layer
    place      an address that is not known yet
    line       a record with places instead of addresses
    layout     a session's memory: buffers and the cache
    constants  what lies beside the weights: norms, biases, tables of angles, the identity that embeds
    fences     what each record waits for
    linear     a linear layer as records
    embedding  a row of the embedding from packed weights, as records
    layer      a decoder layer as records
    compile    all of it
    assemble   words, once places have addresses
    show       a program for people
    cycles     what a pass takes, by a cycle model
"""
