"""
Measurements of appgw against its peers: CPU and memory, in one run, as ratios.
"""
