"""Why two pictures are near each other: the share that each place of both has in their score.

Others use `explainer.Explainer`; `similarity`, `occlusion` and `removal` have the arithmetic on arrays. May import
encoder and what stands below it.
"""
