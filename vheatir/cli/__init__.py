"""The command ``vheatir VERB``: one module for each verb, with ``build_parser()`` and ``run(arguments)``.

Modules here import nothing heavy before ``run``: torch, numpy and the like are loaded once the arguments are known.
"""
