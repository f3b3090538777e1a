"""Speed and cost beside what people would use instead: `python -m sepconv_lab.bench [step|loop|start|memory|skip|all]`.

Ratios, never bare numbers: contenders take turns in one session, round by round, and a ratio is formed within each round.
"""
