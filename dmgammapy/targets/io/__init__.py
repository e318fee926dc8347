"""Readers of target files, one module per format.

- `ecsv`: the own table format
- `dmsky`: target files of dmsky (YAML)
- `rosters`: rosters of dmsky, ``roster_list`` and ``target_list`` of dmpipe (YAML)
"""
