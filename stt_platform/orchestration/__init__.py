"""Stages and what runs them: declaring one, planning what is out of date, running it, and its Dagster asset.

To add a stage, write a recipe with the decorator `stage` in a module below `defs/`, its table in `store/schemas.py` and
its settings in `settings.py`. Registry, order, plan, asset and lineage follow from what it declares.
"""
