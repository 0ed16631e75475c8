"""POOL=ray: workers are actors on a Ray cluster, behind a bridge process that is the Ray driver.

Only `cluster` imports Ray, and only the bridge process imports `cluster`.
"""
