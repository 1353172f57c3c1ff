"""Random programs against the numpy oracle: passes, devices, batching and derivatives.

python -m pytest tests/random                     a small, fixed slice
python -m pytest tests/random --programs 1000     other programs at every run, 1,000 a property
"""
